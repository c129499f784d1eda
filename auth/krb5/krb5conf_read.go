package krb5

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kpopd/auth"
)

// Bounds on what a krb5.conf may be.
const (
	maxConf      = 1 << 20 // octets of all files together
	maxConfFiles = 64
	maxConfDepth = 16 // of sections in sections
)

// A confReader reads files, each of which stands for itself
// (krb5.conf(5), "include").
type confReader struct {
	conf        Conf
	left, files int
}

// file reads one file.
func (r *confReader) file(path string) error {
	if r.files--; r.files < 0 {
		return fmt.Errorf("%s: more than %d files", path, maxConfFiles)
	}
	data, _, err := auth.ReadFile(path, int64(r.left), 0)
	if err != nil {
		return err
	}
	r.left -= len(data)
	return parseConf(path, string(data), &r.conf, r.include)
}

// include reads a file, or those of a directory that MIT's library would read.
func (r *confReader) include(directory bool, path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("what is included is named from the root on, not %q", path)
	}
	if !directory {
		return r.file(path)
	}
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		return err
	}
	for _, e := range entries {
		if isConfName(e.Name()) {
			if err := r.file(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func isConfName(name string) bool {
	if strings.HasSuffix(name, ".conf") {
		return !strings.HasPrefix(name, ".")
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// parseConf adds what the text of the file at path says to c. include is called
// for what it includes.
func parseConf(path, text string, c *Conf, include func(directory bool, path string) error) error {
	var at []string // the section, and those in it
	number := 0
	for line := range strings.Lines(text) {
		number++
		var err error
		line = strings.TrimSpace(line)
		switch word, arg := cutWord(line); {
		case line == "" || line[0] == '#' || line[0] == ';':
		case word == "include" || word == "includedir":
			err = include(word == "includedir", arg)
		case word == "module":
			err = errors.New("a module cannot be loaded")
		default:
			at, err = c.line(at, line)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", path, number, err)
		}
	}
	if len(at) > 1 {
		return fmt.Errorf("%s: a } is missing", path)
	}
	return nil
}

// cutWord returns the first word of a line that has another, and the rest.
func cutWord(line string) (word, rest string) {
	i := max(0, strings.IndexAny(line, " \t"))
	return line[:i], strings.TrimSpace(line[i:])
}

// line reads one line in a section, and returns the section behind it. An
// asterisk says that no other profile adds to it, of which there is none here.
func (c *Conf) line(at []string, line string) ([]string, error) {
	switch {
	case line[0] == '[':
		name, rest, ok := strings.Cut(line[1:], "]")
		if !ok || strings.TrimPrefix(rest, "*") != "" || len(at) > 1 {
			return nil, errors.New("no section begins like this")
		}
		return []string{name}, nil
	case line == "}" || line == "}*":
		if len(at) < 2 {
			return nil, errors.New("there is no { to this }")
		}
		return at[:len(at)-1], nil
	case len(at) == 0:
		return nil, errors.New("it is in no section")
	}
	key, value, ok := strings.Cut(line, "=")
	key, value = strings.TrimSuffix(strings.TrimSpace(key), "*"), strings.TrimSpace(value)
	if !ok || key == "" {
		return nil, errors.New("it is no setting")
	}
	if value == "{" {
		if len(at) > maxConfDepth {
			return nil, errors.New("too many sections in sections")
		}
		return append(slices.Clip(at), key), nil
	}
	c.set(at, unquote(key), unquote(value))
	return at, nil
}

// unquote takes the quotes off a value, in which a backslash hides what follows.
func unquote(s string) string {
	inner, ok := strings.CutPrefix(s, `"`)
	if !ok {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(inner) && inner[i] != '"'; i++ {
		if inner[i] == '\\' && i+1 < len(inner) {
			i++
			if inner[i] != '0' { // unlike that of a principal
				b.WriteByte(unescape(inner[i]))
				continue
			}
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}
