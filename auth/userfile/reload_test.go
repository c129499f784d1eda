package userfile_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/auth/userfile"
)

// replace puts a new file in path's place, as an editor or a rename does.
func replace(t *testing.T, path, content string) {
	t.Helper()
	next := path + ".new"
	if err := os.WriteFile(next, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// The file is followed by looking at it at most once a second; a file that is
// wrong changes nothing, and is reported once.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		path := write(t, "alice:{PLAIN}one")
		f, err := userfile.Open(path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		replace(t, path, "alice:{PLAIN}two\n")
		wants(t, f, "alice", "one", "") // not looked at again within the second
		time.Sleep(time.Second)
		wants(t, f, "alice", "two", "")
		wants(t, f, "alice", "one", "wrong-password")

		replace(t, path, "alice:{PLAIN}three\nbob:hunter2\n")
		for range 5 {
			time.Sleep(time.Second)
			wants(t, f, "alice", "two", "")
			wants(t, f, "bob", "hunter2", "unknown-user")
		}
		checkLog(t, &log, "users:2: no {SCHEME}", "hunter2")

		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			time.Sleep(time.Second)
			wants(t, f, "alice", "two", "")
		}
		checkLog(t, &log, "no such file", "two")

		replace(t, path, "alice:{PLAIN}four\n")
		time.Sleep(time.Second)
		wants(t, f, "alice", "four", "")
		if err := os.Chmod(path, 0o604); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wants(t, f, "alice", "four", "")
		checkLog(t, &log, "chmod o=", "four")
	})
}

// checkLog checks that the log reports an error once, without a secret, and
// empties it.
func checkLog(t *testing.T, log *bytes.Buffer, message, secret string) {
	t.Helper()
	if text := log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, message) || strings.Contains(text, secret) {
		t.Errorf("log, want one error with %q:\n%s", message, text)
	}
	log.Reset()
}

// A change in place that leaves size and time as they were is seen: times are
// trusted only once they have settled.
func TestReloadSameSizeAndTime(t *testing.T) {
	path := write(t, "alice:{PLAIN}one")
	f, err := userfile.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("alice:{PLAIN}two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for try(f, "alice", "two") != "" {
		if time.Now().After(deadline) {
			t.Fatal("the change is not seen")
		}
	}
}

func TestReloadNow(t *testing.T) {
	path := write(t, "alice:{PLAIN}one")
	f, err := userfile.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	replace(t, path, "alice:{PLAIN}two\n")
	if err := f.Reload(); err != nil {
		t.Fatal(err)
	}
	wants(t, f, "alice", "two", "")
	replace(t, path, "alice\n")
	if err := f.Reload(); err == nil || !strings.Contains(err.Error(), path+":1: no colon") {
		t.Errorf("error %v", err)
	}
	wants(t, f, "alice", "two", "")
}

// What a server must not start with.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	file := func(name string, mode os.FileMode) {
		if err := os.WriteFile(path(name), []byte("alice:{PLAIN}hunter2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	file("readable", 0o644)
	file("writable", 0o602)
	file("group", 0o640)
	if err := syscall.Mkfifo(path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	file("huge", 0o600)
	if err := os.Truncate(path("huge"), 64<<20+1); err != nil {
		t.Fatal(err)
	}
	for name, message := range map[string]string{
		"absent": "no such file", ".": "not a regular file", "fifo": "not a regular file",
		"readable": "lets everybody at its secrets", "writable": "lets everybody at its secrets", "huge": "larger than 65536 KiB",
	} {
		_, err := userfile.Open(path(name), nil)
		if err == nil || !strings.Contains(err.Error(), message) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: error %v, want %q", name, err, message)
		}
	}
	if _, err := userfile.Open(path("group"), nil); err != nil {
		t.Errorf("readable by the group: %v", err)
	}
}
