package userfile

import (
	"context"

	"kpopd/auth"
)

// A Secret is a parsed {SCHEME}hash, for tests of the parser.
type Secret struct{ secret }

func (s Secret) Memory() int64 { return s.memory() }

// ParseSecret parses {SCHEME}hash.
func ParseSecret(s string) (Secret, error) {
	parsed, err := parseSecret(s)
	return Secret{parsed}, err
}

// Users returns the names in a file's content.
func Users(data []byte) ([]string, error) {
	t, err := parse("users", data)
	var names []string
	for name := range t.users {
		names = append(names, name)
	}
	return names, err
}

// MaxMemory is the most that one hash may use.
const MaxMemory = maxHashMemory

// A Probe is a secret that says what it costs, and calls Match to be compared.
type Probe struct {
	Octets int64
	Match  func() bool
}

func (p Probe) matches(string) bool { return p.Match() }
func (p Probe) memory() int64       { return p.Octets }
func (p Probe) kind() string        { return "probe" }

// Verify checks password against p as against a user's secret.
func (f *File) Verify(ctx context.Context, p Probe, password string) (bool, error) {
	return f.verify(ctx, p, password)
}

// EncodeSCRAM returns the secret of a line with these keys.
func EncodeSCRAM(hash string, keys auth.SCRAMKeys) string {
	return "{SCRAM-" + hash + "}" + keys.Encode()
}

// Counted makes n count how often user's secret is compared, until the file is
// read again.
func (f *File) Counted(user string, n *int) {
	e := f.users.Load().users[user]
	e.secret = counted{e.secret, n}
}

type counted struct {
	secret
	n *int
}

func (c counted) matches(password string) bool {
	*c.n++
	return c.secret.matches(password)
}
