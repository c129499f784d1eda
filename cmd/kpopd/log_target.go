package main

import (
	"io"
	"os"
	"sync"
	"time"
)

const (
	// logEvery is how long a line may wait for others, so that a busy server
	// writes some of them at a time. One that comes behind a silence does not
	// wait. It is what a crash may cost.
	logEvery = 50 * time.Millisecond
	logMost  = 64 << 10 // octets that wait
)

// A logTarget is where the log goes. It may be moved while it is written to.
type logTarget struct {
	mu    sync.Mutex
	w     io.Writer
	file  *os.File    // w, where that is a file of ours
	lines []byte      // that wait
	timer *time.Timer // writes them; nil: none has waited so far
	last  time.Time   // when something was written
}

// Write takes a line. An error is one of those that it writes now.
func (t *logTarget) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		now := time.Now()
		if wait := logEvery - now.Sub(t.last); wait > 0 {
			t.wake(wait)
		} else {
			t.last = now
			return t.w.Write(p)
		}
	}
	t.lines = append(t.lines, p...)
	if len(t.lines) < logMost {
		return len(p), nil
	}
	return len(p), t.write()
}

// wake has the lines written after a while.
func (t *logTarget) wake(after time.Duration) {
	if t.timer == nil {
		t.timer = time.AfterFunc(after, t.flush)
		return
	}
	t.timer.Reset(after)
}

// flush writes the lines that wait.
func (t *logTarget) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.write() // there is nobody to tell
}

// write is flush, under mu.
func (t *logTarget) write() error {
	if len(t.lines) == 0 {
		return nil
	}
	_, err := t.w.Write(t.lines)
	t.lines, t.last = t.lines[:0], time.Now()
	return err
}

// move moves the log to w. file is w where we opened it, else nil.
func (t *logTarget) move(w io.Writer, file *os.File) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.write()
	if t.file != nil {
		t.file.Close()
	}
	t.w, t.file = w, file
}
