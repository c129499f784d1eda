package testenv

import "context"

// A TB is what the world asks of a test: [testing.TB] has it, and a program,
// such as testenv/bench, brings one of its own.
type TB interface {
	Helper()
	Cleanup(func())
	Context() context.Context // ends just before what Cleanup was given is called
	TempDir() string
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any) // does not return
}
