package auth

// MaxRecalled is how much a Recall remembers.
const MaxRecalled = maxRecalled
