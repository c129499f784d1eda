package maildir

// What tests of names need.
var (
	BaseOf  = baseOf
	UIDOf   = uidOf
	TimeOf  = timeOf
	ReadyOf = readyOf
)

// ParseUsage parses a maildirsize file.
func ParseUsage(text []byte, quota string) (octets, messages int64, ok bool) {
	u, ok := parseUsage(text, quota)
	return u.octets, u.messages, ok
}

// SizeOf returns what a base name tells of a size on the wire.
func SizeOf(base string) (size int64, ok bool) {
	_, size, ok = sizesOf(base)
	return size, ok
}

// Gather gathers names as a scan does.
func Gather(messages int, name func(int) string) (pieces int, names []string, err error) {
	var g gathering
	for i := range messages {
		g.add(inCur, []byte(name(i)))
	}
	l, err := g.listing()
	if err != nil {
		return 0, nil, err
	}
	for i := range l.entries {
		names = append(names, l.name(&l.entries[i]))
	}
	return len(l.names), names, nil
}
