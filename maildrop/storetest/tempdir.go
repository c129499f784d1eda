package storetest

import (
	"os"
	"testing"
)

// TempDir is what t.TempDir is, but in memory, where the system has a directory
// there: for tests of what a store calls and in which order, of which each
// fsync(2) would only take its time on a disk.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "kpopd-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
