package uidl_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"kpopd/maildrop/durable"
	"kpopd/maildrop/storetest"
	"kpopd/maildrop/uidl"
)

// crashEnv makes the test binary a process that hides a message of the Maildir
// in the current directory and may be killed.
const crashEnv = "KPOPD_TEST_CRASH"

func TestMain(m *testing.M) {
	if os.Getenv(crashEnv) != "" {
		if err := victim(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func victim() error {
	d, err := durable.Open(".")
	if err != nil {
		return err
	}
	if err := storetest.AwaitTracer(); err != nil {
		return err
	}
	l, err := uidl.Load(d)
	if err != nil {
		return err
	}
	return errors.Join(l.Hide("unordered", strings.Repeat("~", 70), false), l.Store(d), storetest.Say("done\n"))
}

// TestCrash kills a writer at each of its system calls: the old list or the
// new one is there, whole, and the new one once the writer has said so.
func TestCrash(t *testing.T) {
	old := sample(t)
	changed := sample(t)
	must(t, changed.Hide("unordered", strings.Repeat("~", 70), false))
	for n := 1; ; n++ {
		d, path := openDir(t)
		must(t, old.Store(d))
		trace := storetest.RunSelf(t, path, crashEnv+"=1", n)
		got, err := uidl.Load(d)
		if err != nil {
			t.Fatalf("killed at call %d of %v: %v", n, trace.Calls, err)
		}
		isNew := slices.Equal(rows(got), rows(changed))
		if !isNew && (trace.Output != "" || !slices.Equal(rows(got), rows(old))) {
			t.Fatalf("killed at call %d of %v, said %q: %q", n, trace.Calls, trace.Output, rows(got))
		}
		must(t, changed.Store(d)) // whatever is left, the next writer comes through
		if !trace.Killed {
			inOrder(t, path, trace)
			return
		}
	}
}

// inOrder: nothing is called by its name before it is durable, and nothing is
// said before that is.
func inOrder(t *testing.T, path string, trace *storetest.Trace) {
	t.Helper()
	var got []string
	for _, c := range trace.Calls {
		switch c.Name {
		case "fsync", "renameat2":
			got = append(got, c.Name+" "+filepath.Base(c.Paths[0]))
		case "write":
			if !strings.HasPrefix(c.Paths[0], "/") {
				got = append(got, "reply")
			}
		}
	}
	want := []string{"fsync kpopd-uidl.tmp", "renameat2 kpopd-uidl.tmp", "fsync " + filepath.Base(path), "reply"}
	if !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}
