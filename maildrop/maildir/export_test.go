package maildir

// What tests of names need.
var (
	BaseOf  = baseOf
	UIDOf   = uidOf
	TimeOf  = timeOf
	SizeOf  = sizeOf
	ReadyOf = readyOf
)

// ParseUsage parses a maildirsize file.
func ParseUsage(text []byte, quota string) (octets, messages int64, ok bool) {
	u, ok := parseUsage(text, quota)
	return u.octets, u.messages, ok
}
