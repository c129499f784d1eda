package pop3

// What tests reach without a session around it.
var (
	NewTop = newTop
	Number = number
)
