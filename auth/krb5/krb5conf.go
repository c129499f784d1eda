package krb5

import (
	"cmp"
	"errors"
	"net"
	"os"
	"strings"
)

const defaultConf = "/etc/krb5.conf"

// A Conf is the part of MIT Kerberos' krb5.conf that says where the KDCs of the
// realms are, and what the local names of principals are. The zero Conf finds
// KDCs by DNS and has no local names.
type Conf struct {
	// DefaultRealm is where principals without a realm are. "": nowhere.
	DefaultRealm string
	// LocalRules are the values of auth_to_local, by realm, in order.
	LocalRules map[string][]string
	// LocalNames are those of auth_to_local_names: local names by realm and
	// by principal without it.
	LocalNames map[string]map[string]string

	kdcs    map[string][]string // addresses with ports, by realm
	domains map[string]string   // realms, by host name or ".domain", in lower case
	lookup  string              // dns_lookup_kdc; "": it is not set
}

// LoadConf reads the krb5.conf at path and what it includes. "": /etc/krb5.conf,
// which need not be there.
func LoadConf(path string) (*Conf, error) {
	if path == "" {
		if _, err := os.Stat(defaultConf); errors.Is(err, os.ErrNotExist) {
			return &Conf{}, nil
		}
		path = defaultConf
	}
	r := confReader{left: maxConf, files: maxConfFiles}
	if err := r.file(path); err != nil {
		return nil, err
	}
	return &r.conf, nil
}

// set takes one assignment. at are the section and those in it. As in MIT's
// library the first of a name counts, but of KDCs and rules all do.
func (c *Conf) set(at []string, key, value string) {
	switch depth := len(at); {
	case at[0] == "libdefaults" && depth == 1 && key == "default_realm":
		c.DefaultRealm = cmp.Or(c.DefaultRealm, value)
	case at[0] == "libdefaults" && depth == 1 && key == "dns_lookup_kdc":
		c.lookup = cmp.Or(c.lookup, value)
	case at[0] == "domain_realm" && depth == 1:
		first(&c.domains, strings.ToLower(key), value)
	case at[0] == "realms" && depth == 2 && key == "kdc":
		if addr, ok := kdcAddress(value); ok {
			add(&c.kdcs, at[1], addr)
		}
	case at[0] == "realms" && depth == 2 && key == "auth_to_local":
		add(&c.LocalRules, at[1], value)
	case at[0] == "realms" && depth == 3 && at[2] == "auth_to_local_names":
		names := c.LocalNames[at[1]]
		first(&names, key, value)
		if c.LocalNames == nil {
			c.LocalNames = map[string]map[string]string{}
		}
		c.LocalNames[at[1]] = names
	}
}

// first sets what is not set yet.
func first(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	if _, ok := (*m)[key]; !ok {
		(*m)[key] = value
	}
}

func add(m *map[string][]string, key, value string) {
	if *m == nil {
		*m = map[string][]string{}
	}
	(*m)[key] = append((*m)[key], value)
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
