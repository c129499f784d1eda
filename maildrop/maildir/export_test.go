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
