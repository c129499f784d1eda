package maildir

// What tests of names need.
var (
	BaseOf  = baseOf
	UIDOf   = uidOf
	TimeOf  = timeOf
	SizeOf  = sizeOf
	ReadyOf = readyOf
)
