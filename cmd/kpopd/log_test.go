package main

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// writes takes down what is written at a time.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

// A line behind a silence is written at once, those right behind it together a
// moment later, and all that wait when they are many, when the log moves and at
// the end.
func TestLogTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first, second writes
		target := logTarget{w: &first}
		say := func(text string) { io.WriteString(&target, text) }
		check := func(w *writes, want ...string) {
			t.Helper()
			target.mu.Lock()
			defer target.mu.Unlock()
			if !slices.Equal(*w, want) {
				t.Fatalf("written %q, want %q", *w, want)
			}
		}
		say("a")
		check(&first, "a")
		say("b")
		say("c")
		check(&first, "a")
		time.Sleep(logEvery)
		synctest.Wait()
		check(&first, "a", "bc")
		time.Sleep(2 * logEvery)
		say("d")
		check(&first, "a", "bc", "d")
		say("e")
		target.move(&second, nil)
		check(&first, "a", "bc", "d", "e")
		say("f")
		target.flush()
		check(&second, "f")
		many := strings.Repeat("x", logMost/2)
		say(many)
		check(&second, "f")
		say(many)
		check(&second, "f", many+many)
		time.Sleep(time.Hour)
		synctest.Wait()
		check(&second, "f", many+many)
	})
}
