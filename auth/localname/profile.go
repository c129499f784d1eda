package localname

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds on what a krb5.conf may be.
const (
	maxProfile  = 1 << 20 // octets of all files together
	maxProfiles = 64
	maxDepth    = 4  // of files that include files
	maxBraces   = 16 // of sections in sections
)

// A Profile is what krb5.conf(5) files say of local names.
type Profile struct {
	// DefaultRealm is libdefaults' own. "": none is set.
	DefaultRealm string
	// Rules are the values of auth_to_local, by realm, in order.
	Rules map[string][]string
	// Names are those of auth_to_local_names.
	Names map[string]map[string]string

	left, files int
}

// ReadProfile reads a krb5.conf file and those that it includes.
func ReadProfile(path string) (*Profile, error) {
	p := &Profile{Rules: map[string][]string{}, Names: map[string]map[string]string{}, left: maxProfile, files: maxProfiles}
	return p, p.file(path, maxDepth)
}

// file reads one file.
func (p *Profile) file(path string, depth int) error {
	if p.files--; p.files < 0 || depth == 0 {
		return fmt.Errorf("%s: too many files are included", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(p.left)+1))
	if err != nil {
		return err
	}
	if p.left -= len(data); p.left < 0 {
		return fmt.Errorf("%s: more than %d KiB are included", path, maxProfile>>10)
	}
	return p.parse(path, string(data), func(dir bool, name string) error { return p.include(dir, name, depth) })
}

// include follows one directive. Of a directory those files count whose names
// are words, or end in .conf.
func (p *Profile) include(dir bool, name string, depth int) error {
	if !filepath.IsAbs(name) {
		return fmt.Errorf("what is included is named from the root on, not %q", name)
	}
	if !dir {
		return p.file(name, depth-1)
	}
	entries, err := os.ReadDir(name) // sorted by name
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !includable(e.Name()) {
			continue
		}
		if err := p.file(filepath.Join(name, e.Name()), depth-1); err != nil {
			return err
		}
	}
	return nil
}

func includable(name string) bool {
	if strings.HasSuffix(name, ".conf") {
		return !strings.HasPrefix(name, ".")
	}
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// parse reads the text of one file.
func (p *Profile) parse(path, text string, include func(dir bool, name string) error) error {
	var at []string // the section, and those in it
	number := 0
	for line := range strings.Lines(text) {
		number++
		var err error
		line = strings.TrimSpace(line)
		switch word, arg, _ := strings.Cut(line, " "); {
		case line == "" || line[0] == '#' || line[0] == ';':
		case word == "include" || word == "includedir":
			err = include(word == "includedir", strings.TrimSpace(arg))
		case word == "module":
			err = errors.New("a module cannot be loaded")
		default:
			at, err = p.line(at, line)
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

// line reads one line in a section, and returns the section behind it.
func (p *Profile) line(at []string, line string) ([]string, error) {
	switch {
	case strings.HasPrefix(line, "["):
		name, rest, ok := strings.Cut(line[1:], "]")
		if !ok || rest != "" || len(at) > 1 {
			return nil, errors.New("no section begins like this")
		}
		return []string{name}, nil
	case line == "}":
		if len(at) < 2 {
			return nil, errors.New("there is no { to this }")
		}
		return at[:len(at)-1], nil
	case len(at) == 0:
		return nil, errors.New("it is in no section")
	}
	key, value, ok := strings.Cut(line, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok || key == "" || strings.HasSuffix(key, "*") || value == "}*" {
		return nil, errors.New("it is no setting")
	}
	if value == "{" {
		if len(at) >= maxBraces {
			return nil, errors.New("too many sections in sections")
		}
		return append(slices.Clip(at), key), nil
	}
	p.set(at, unquote(key), unquote(value))
	return at, nil
}

// set keeps a setting that is about local names.
func (p *Profile) set(at []string, key, value string) {
	switch {
	case len(at) == 1 && at[0] == "libdefaults" && key == "default_realm" && p.DefaultRealm == "":
		p.DefaultRealm = value
	case len(at) == 2 && at[0] == "realms" && key == "auth_to_local":
		p.Rules[at[1]] = append(p.Rules[at[1]], value)
	case len(at) == 3 && at[0] == "realms" && at[2] == "auth_to_local_names":
		names := p.Names[at[1]]
		if names == nil {
			names = map[string]string{}
			p.Names[at[1]] = names
		}
		if _, again := names[key]; !again { // the first counts
			names[key] = value
		}
	}
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
			b.WriteByte(unescape(inner[i]))
			continue
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	}
	return c
}
