package pace_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kpopd/maildrop"
	"kpopd/maildrop/memory"
	"kpopd/maildrop/pace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) (*pace.Logins, *bytes.Buffer) {
	t.Helper()
	l, err := pace.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var log bytes.Buffer
	l.Log = slog.New(slog.NewTextHandler(&log, nil))
	return l, &log
}

// What one process notes, another reads.
func TestLogins(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "logins")
	l, log := open(t, dir)
	other, _ := open(t, dir)
	at := time.Date(2026, 11, 24, 5, 47, 0, 123456000, time.UTC)
	for _, name := range []string{"alice", "partner/bob", strings.Repeat("é", 400), ".dot"} {
		if got := l.Last(name); !got.IsZero() {
			t.Errorf("%q: last login %v before the first", name, got)
		}
		l.Note(name, at.Add(-time.Hour))
		l.Note(name, at)
		if got := other.Last(name); !got.Equal(at) {
			t.Errorf("%q: last login %v, want %v", name, got, at)
		}
		at = at.Add(time.Second)
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log)
	}
	text, err := os.ReadFile(filepath.Join(dir, "alice"))
	if want := "2026-11-24T05:47:00.123456Z\n"; string(text) != want || err != nil {
		t.Errorf("file %q, %v; want %q", text, err, want)
	}
}

// What is no time counts as no login, and links are not followed; the log says
// so.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	l, log := open(t, dir)
	for name, make := range map[string]func(path string) error{
		"empty":     func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"junk":      func(path string) error { return os.WriteFile(path, []byte("2026-13-24T05:47:00.000000Z\n"), 0o600) },
		"short":     func(path string) error { return os.WriteFile(path, []byte("2026-11-24"), 0o600) },
		"link":      func(path string) error { return os.Symlink("/etc/passwd", path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		log.Reset()
		if err := make(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if got := l.Last(name); !got.IsZero() || !strings.Contains(log.String(), "maildrop="+name) {
			t.Errorf("%s: last login %v, log %q", name, got, log)
		}
	}
	log.Reset()
	l.Note("link", time.Now())
	l.Note("directory", time.Now())
	if n := strings.Count(log.String(), "not remembered"); n != 2 {
		t.Errorf("%d failures logged: %s", n, log)
	}
	l.Note("junk", time.Now()) // and it is good again
	if l.Last("junk").IsZero() {
		t.Error("the file with junk is not written anew")
	}
}

// A policy refuses what comes too soon, and nothing after the clock was set
// back.
func TestPolicy(t *testing.T) {
	l, _ := open(t, t.TempDir())
	p := maildrop.Policy{LoginDelay: time.Hour, Logins: l}
	var store memory.Store
	var locker memory.Locker
	try := func(last time.Time) error {
		t.Helper()
		l.Note("alice", last)
		d, err := p.Open(t.Context(), "alice", &locker, &store)
		if err == nil {
			err = d.Close()
			if since := time.Since(l.Last("alice")); since < 0 || since > 10*time.Minute {
				t.Errorf("the login was not noted: %v", since)
			}
		}
		return err
	}
	now := time.Now()
	var soon *maildrop.TooSoonError
	if err := try(now.Add(-30 * time.Minute)); !errors.As(err, &soon) || soon.Delay != time.Hour || soon.Left > 30*time.Minute {
		t.Errorf("after half an hour: %v", err)
	}
	for _, last := range []time.Time{now.Add(-time.Hour), now.Add(-10000 * time.Hour), now.Add(time.Hour), {}} {
		if err := try(last); err != nil {
			t.Errorf("last login %v: %v", last, err)
		}
	}
	// Who was refused holds no lock.
	if err := try(now); !errors.As(err, &soon) {
		t.Errorf("at once: %v", err)
	}
	lease, err := locker.Lock(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	lease.Release()
}
