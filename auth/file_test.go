package auth_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/auth"
)

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	wants := func(limit int64, forbidden os.FileMode, problem string) {
		t.Helper()
		data, _, err := auth.ReadFile(path, limit, forbidden)
		switch {
		case problem == "" && (err != nil || string(data) != "SECRET"):
			t.Errorf("%q, %v", data, err)
		case problem != "" && (data != nil || err == nil || !strings.Contains(err.Error(), problem) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "SECRET")):
			t.Errorf("%q, %v, want %q", data, err, problem)
		}
	}
	wants(6, 0, "no such file")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	wants(6, 0, "not a regular file")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("SECRET"), 0o644); err != nil {
		t.Fatal(err)
	}
	wants(6, 0o002, "")
	wants(5, 0, "larger than")
	wants(6, 0o006, "lets everybody at its secrets")
	path = filepath.Dir(path)
	wants(6, 0, "not a regular file")
}

// TestStamp: a file that has just been written may be written again within one
// tick of its file system's clock, and no stamp is of it for sure.
func TestStamp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	stamp := func() auth.Stamp {
		t.Helper()
		if err := os.WriteFile(path, []byte("SECRET"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, s, err := auth.ReadFile(path, 6, 0o007)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	begun := time.Now()
	if s := stamp(); time.Since(begun) < time.Second && s.IsOf(path) {
		t.Error("the stamp is of a file that may have changed")
	}
	synctest.Test(t, func(t *testing.T) { // where the file is of another time
		s := stamp()
		if !s.IsOf(path) {
			t.Error("the stamp is not of the file")
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if s.IsOf(path) || s.IsOf(path+"x") || (auth.Stamp{}).IsOf(path) {
			t.Error("the stamp is of another file")
		}
	})
}
