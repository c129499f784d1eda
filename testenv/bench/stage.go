package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
)

// A stage is to a part of the bench what a testing.T is to a test: what fails on
// it ends that part, and what was put on it is cleared away at the end.
type stage struct {
	ctx     context.Context
	err     error
	cleanup []func()
}

// play has f done on a stage, and returns what failed.
func play(ctx context.Context, f func(*stage)) error {
	ctx, cancel := context.WithCancel(ctx)
	s, ended := &stage{ctx: ctx}, make(chan struct{})
	go func() { // which Fatalf ends
		defer close(ended)
		defer s.clear()
		defer cancel()
		f(s)
	}()
	<-ended
	return s.err
}

func (s *stage) clear() {
	for len(s.cleanup) > 0 {
		last := len(s.cleanup) - 1
		f := s.cleanup[last]
		s.cleanup = s.cleanup[:last]
		f()
	}
}

// Helper does nothing: errors have no line.
func (s *stage) Helper() {}

// Cleanup has f called at the end, the last first.
func (s *stage) Cleanup(f func()) { s.cleanup = append(s.cleanup, f) }

// Context ends before what Cleanup was given is called.
func (s *stage) Context() context.Context { return s.ctx }

// Errorf remembers an error.
func (s *stage) Errorf(format string, args ...any) {
	s.err = errors.Join(s.err, fmt.Errorf(format, args...))
}

// Fatal ends the part with an error.
func (s *stage) Fatal(args ...any) { s.Fatalf("%s", fmt.Sprint(args...)) }

// Fatalf ends the part with an error.
func (s *stage) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

// TempDir makes a directory that everybody may enter and that goes at the end.
func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp("", "kpopd-bench-")
	s.must(err)
	s.Cleanup(func() { os.RemoveAll(dir) })
	s.must(os.Chmod(dir, 0o755))
	return dir
}

// must ends the part where there is an error.
func (s *stage) must(err error) {
	if err != nil {
		s.Fatal(err)
	}
}
