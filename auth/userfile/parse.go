package userfile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"kpopd/auth"
)

const (
	maxLine   = 8 << 10
	maxUser   = 255
	maxErrors = 20
)

// A table is the parsed file.
type table struct {
	users map[string]*entry
	// prepared has the users whose names SASLprep changes, by what it makes of
	// them; nil where it makes the same of two.
	prepared map[string]*entry
	// decoy has the kind of secret that most users have; nil: no users.
	decoy secret
	scram scramCensus
}

// find returns user's entry, or nil.
func (t *table) find(user string) *entry {
	if e := t.users[user]; e != nil {
		return e
	}
	prepared, _ := auth.Prepare(user)
	if e := t.users[prepared]; e != nil {
		return e
	}
	return t.prepared[prepared]
}

// parse parses a file. Its errors, of the first twenty lines that have one,
// say name and line, and nothing of what is on the line but a known scheme.
func parse(name string, data []byte) (*table, error) {
	t := &table{users: make(map[string]*entry), prepared: make(map[string]*entry)}
	var (
		errs  []error
		kinds = make(map[string]int)
		lines = make(map[string]int)
		n     int
	)
	for line := range bytes.Lines(data) {
		n++
		e, err := parseLine(line)
		if err == nil && e != nil {
			err = t.add(e, n, lines, kinds)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", name, n, err))
		}
		if len(errs) == maxErrors {
			break
		}
	}
	return t, errors.Join(errs...)
}

// add enters e, which stands on line n. lines has the line of each user, kinds
// the number of secrets of each kind.
func (t *table) add(e *entry, n int, lines, kinds map[string]int) error {
	if first := lines[e.user]; first != 0 {
		return fmt.Errorf("the user of line %d again", first)
	}
	lines[e.user], t.users[e.user] = n, e
	t.enterPrepared(e)
	t.scram.add(e.secret)
	kind := e.secret.kind()
	kinds[kind]++
	if t.decoy == nil || kinds[kind] > kinds[t.decoy.kind()] {
		t.decoy = e.secret
	}
	return nil
}

// enterPrepared enters e under the name that SASLprep makes of its user's.
func (t *table) enterPrepared(e *entry) {
	prepared, ok := auth.Prepare(e.user)
	if !ok || prepared == e.user {
		return
	}
	if _, twice := t.prepared[prepared]; twice {
		e = nil
	}
	t.prepared[prepared] = e
}

// parseLine parses a line of a file, with or without its end. It returns nil
// for a comment.
func parseLine(line []byte) (*entry, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("longer than %d octets", maxLine)
	}
	s := strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r")
	if s == "" || s[0] == '#' {
		return nil, nil
	}
	if strings.IndexByte(s, 0) >= 0 {
		return nil, errors.New("a NUL")
	}
	fields := strings.SplitN(s, ":", 8)
	if len(fields) < 2 {
		return nil, errors.New("no colon after the user")
	}
	if err := checkUser(fields[0]); err != nil {
		return nil, err
	}
	secret, err := parseSecret(fields[1])
	if err != nil {
		return nil, err
	}
	for i := 2; i < min(len(fields), 4); i++ {
		if strings.ContainsFunc(fields[i], notAccount) {
			return nil, errors.New("uid or gid is none: a secret with a colon must be encoded, as in {PLAIN.b64}")
		}
	}
	e := &entry{user: fields[0], secret: secret, sum: sha256.Sum256([]byte(fields[0] + ":" + fields[1]))}
	if len(fields) == 8 {
		e.nets, err = parseExtra(fields[7])
	}
	return e, err
}

func checkUser(user string) error {
	switch {
	case user == "":
		return errors.New("no user")
	case len(user) > maxUser:
		return fmt.Errorf("user longer than %d octets", maxUser)
	case !utf8.ValidString(user):
		return errors.New("user is not UTF-8")
	case strings.IndexFunc(user, unicode.IsControl) >= 0:
		return errors.New("a control character in the user")
	}
	return nil
}

// notAccount reports whether r stands in no name or number of a local account.
func notAccount(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("_.-$", r)
}

// parseExtra parses the extra fields and returns the networks of allow_nets.
func parseExtra(s string) ([]netip.Prefix, error) {
	var nets []netip.Prefix
	for _, field := range strings.Fields(s) {
		key, value, _ := strings.Cut(field, "=")
		switch {
		case strings.HasPrefix(key, "userdb_"):
		case key == "allow_nets":
			var err error
			if nets, err = parseNets(value); err != nil {
				return nil, err
			}
		default:
			return nil, errors.New("an extra field other than allow_nets and userdb_…")
		}
	}
	return nets, nil
}

// parseNets parses networks and addresses joined by commas.
func parseNets(s string) ([]netip.Prefix, error) {
	var nets []netip.Prefix
	for item := range strings.SplitSeq(s, ",") {
		net, err := netip.ParsePrefix(item)
		if err != nil {
			addr, err := netip.ParseAddr(item)
			if err != nil || addr.Zone() != "" {
				return nil, errors.New("allow_nets: not a network or an address")
			}
			net = netip.PrefixFrom(addr, addr.BitLen())
		}
		nets = append(nets, net.Masked())
	}
	return nets, nil
}
