package userfile

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
