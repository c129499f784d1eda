package auth_test

import (
	"context"
	"testing"
	"time"

	"kpopd/auth"
)

func TestPaceUsual(t *testing.T) {
	var p auth.Pace
	if got := p.Usual(); got != 0 {
		t.Errorf("before there is any: %v", got)
	}
	for _, ms := range []int{9, 1, 5, 900, 4} {
		p.Note(time.Duration(ms) * time.Millisecond)
	}
	if got := p.Usual(); got != 5*time.Millisecond {
		t.Errorf("%v, want 5ms", got)
	}
}

// TestPaceCatch: the wait is the difference, none to who is the slower one, and
// over when ctx ends.
func TestPaceCatch(t *testing.T) {
	var slow, quick auth.Pace
	slow.Note(time.Hour)
	quick.Note(time.Hour - 5*time.Millisecond)
	begun := time.Now()
	quick.Catch(t.Context(), &slow)
	if took := time.Since(begun); took < 5*time.Millisecond {
		t.Errorf("waited %v, want 5ms", took)
	}
	var idle auth.Pace
	slow.Catch(t.Context(), &quick)
	slow.Catch(t.Context(), &idle)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	idle.Catch(ctx, &slow)
}
