package krb5

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

const (
	defaultConf  = "/etc/krb5.conf"
	maxConf      = 256 << 10 // octets of one file
	maxConfFiles = 64
)

// A Conf is what a client has to know of the realms: the part of MIT Kerberos'
// krb5.conf that says where their KDCs are. The zero Conf finds them by DNS.
type Conf struct {
	// DefaultRealm is where principals without a realm are. "": nowhere.
	DefaultRealm string

	kdcs     map[string][]string // addresses with ports, by realm
	domains  map[string]string   // realms, by host name or ".domain", in lower case
	noLookup bool                // dns_lookup_kdc = false
}

// LoadConf reads the krb5.conf at path and what it includes. "": /etc/krb5.conf,
// which need not be there.
func LoadConf(path string) (*Conf, error) {
	c := &Conf{}
	l := confLoader{conf: c}
	if path == "" {
		if _, err := os.Stat(defaultConf); errors.Is(err, os.ErrNotExist) {
			return c, nil
		}
		path = defaultConf
	}
	return c, l.file(path)
}

// A confLoader reads files, each of which stands for itself
// (krb5.conf(5), "include").
type confLoader struct {
	conf  *Conf
	files int
}

func (l *confLoader) file(path string) error {
	if l.files++; l.files > maxConfFiles {
		return fmt.Errorf("krb5: %s: more than %d files", path, maxConfFiles)
	}
	if info, err := os.Stat(path); err != nil {
		return fmt.Errorf("krb5: %w", err)
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("krb5: %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("krb5: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConf+1))
	if err == nil && len(b) > maxConf {
		err = fmt.Errorf("larger than %d octets", maxConf)
	}
	if err == nil {
		err = parseConf(b, l.conf, l.include)
	}
	if err != nil {
		return fmt.Errorf("krb5: %s: %w", path, err)
	}
	return nil
}

// include reads a file, or those of a directory that MIT's library would read.
func (l *confLoader) include(directory bool, path string) error {
	if !directory {
		return l.file(path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if isConfName(e.Name()) {
			if err := l.file(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func isConfName(name string) bool {
	if strings.HasSuffix(name, ".conf") && !strings.HasPrefix(name, ".") {
		return true
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// parseConf adds what b says to c. include is called for what it includes.
func parseConf(b []byte, c *Conf, include func(directory bool, path string) error) error {
	p := confParser{Conf: c, include: include}
	s := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; s.Scan(); n++ {
		if err := p.line(strings.TrimSpace(s.Text())); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	if len(p.groups) > 0 {
		return errors.New("a { without its }")
	}
	return nil
}

// A confParser is where in a file a line stands.
type confParser struct {
	*Conf
	include func(directory bool, path string) error
	section string
	groups  []string // the names of the { } around
}

const maxConfDepth = 8

func (p *confParser) line(text string) error {
	name, value, assigns := strings.Cut(text, "=")
	switch {
	case text == "" || text[0] == '#' || text[0] == ';':
		return nil
	case strings.HasPrefix(text, "include ") || strings.HasPrefix(text, "includedir "):
		word, path, _ := strings.Cut(text, " ")
		return p.include(word == "includedir", strings.TrimSpace(path))
	case text[0] == '[' && len(p.groups) == 0:
		p.section, _, _ = strings.Cut(text[1:], "]")
		return nil
	case text[0] == '}' && len(p.groups) > 0:
		p.groups = p.groups[:len(p.groups)-1]
		return nil
	case strings.HasPrefix(text, "module "):
		return nil
	case !assigns:
		return errors.New("neither a section nor an assignment")
	}
	name, value = strings.TrimSuffix(strings.TrimSpace(name), "*"), strings.TrimSpace(value)
	if value == "{" {
		if len(p.groups) == maxConfDepth {
			return errors.New("too many { around it")
		}
		p.groups = append(p.groups, name)
		return nil
	}
	p.set(name, strings.Trim(value, `"`))
	return nil
}

// set takes one assignment. As in MIT's library the first of a name counts, but
// of KDCs all do.
func (p *confParser) set(name, value string) {
	switch depth := len(p.groups); {
	case p.section == "libdefaults" && depth == 0 && name == "default_realm" && p.DefaultRealm == "":
		p.DefaultRealm = value
	case p.section == "libdefaults" && depth == 0 && name == "dns_lookup_kdc":
		p.noLookup = isFalse(value)
	case p.section == "realms" && depth == 1 && name == "kdc":
		if addr, ok := kdcAddress(value); ok {
			if p.kdcs == nil {
				p.kdcs = map[string][]string{}
			}
			p.kdcs[p.groups[0]] = append(p.kdcs[p.groups[0]], addr)
		}
	case p.section == "domain_realm" && depth == 0:
		if p.domains == nil {
			p.domains = map[string]string{}
		}
		if _, ok := p.domains[strings.ToLower(name)]; !ok {
			p.domains[strings.ToLower(name)] = value
		}
	}
}

// isFalse reads what MIT's library takes for false.
func isFalse(s string) bool {
	switch strings.ToLower(s) {
	case "n", "no", "false", "f", "nil", "0", "off":
		return true
	}
	return false
}

// kdcAddress returns the TCP address of a KDC, which is host, host:port,
// [address] or [address]:port, perhaps after "tcp/" or "udp/": every KDC takes
// TCP too (RFC 4120 §7.2.2). Proxies (https://) are not spoken to.
func kdcAddress(s string) (string, bool) {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "tcp/"), "udp/")
	if s == "" || strings.ContainsAny(s, "/ \t") {
		return "", false
	}
	if host, port, err := net.SplitHostPort(s); err == nil {
		return s, host != "" && port != ""
	}
	host := strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	if strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", false
	}
	return net.JoinHostPort(host, "88"), true
}

// realmOf returns the realm of a host by [domain_realm], "" if it does not say.
func (c *Conf) realmOf(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if realm, ok := c.domains[host]; ok {
		return realm
	}
	for i := strings.IndexByte(host, '.'); i >= 0; {
		if realm, ok := c.domains[host[i:]]; ok {
			return realm
		}
		next := strings.IndexByte(host[i+1:], '.')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return ""
}
