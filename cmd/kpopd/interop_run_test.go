package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"kpopd/testenv"
)

// These tests drive the clients that people use, as Debian packages them,
// against the program and a real MIT KDC.

// clientPatience bounds the run of one client.
const clientPatience = 60 * time.Second

// A clientRun is a client that has ended.
type clientRun struct {
	argv   []string
	out    string // standard output and error, as they came
	status int    // exit status
}

func (r clientRun) String() string {
	return fmt.Sprintf("%s: exit status %d\n%s", strings.Join(r.argv, " "), r.status, r.out)
}

// says fails the test unless the client's output has all of the texts.
func (r clientRun) says(t testing.TB, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.out, text) {
			t.Errorf("client does not say %q\n%s", text, r)
		}
	}
}

// exits fails the test at once unless the client ended with a status.
func (r clientRun) exits(t testing.TB, status int) clientRun {
	t.Helper()
	if r.status != status {
		t.Fatalf("want exit status %d\n%s", status, r)
	}
	return r
}

// runClient runs a client of the system's to its end. env is its whole
// environment.
func runClient(t testing.TB, env []string, stdin string, argv ...string) clientRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientPatience)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, testenv.Need(t, argv[0]), argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, strings.NewReader(stdin), &out, &out
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	r := clientRun{argv: argv, out: out.String()}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && ctx.Err() == nil {
		r.status, err = exit.ExitCode(), nil
	}
	if err != nil {
		t.Fatalf("%v (%v)\n%s", err, context.Cause(ctx), r)
	}
	return r
}

// port returns the port of one of the daemon's listeners.
func (d *daemon) port(t testing.TB, listener string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(d.addrs[listener])
	if err != nil {
		t.Fatalf("listener %s: %v", listener, err)
	}
	return port
}

// loggedIn waits for the login of a maildrop by a mechanism, in the part of
// the log that begins at a mark, and returns the record.
func (d *daemon) loggedIn(t testing.TB, from int, mechanism, maildrop string) map[string]any {
	t.Helper()
	return d.log.awaitFrom(t, from, "login", func(rec map[string]any) bool {
		return rec["mechanism"] == mechanism && rec["maildrop"] == maildrop
	})
}

// refused waits for the first refusal in the part of the log that begins at a
// mark, and fails the test unless it is for this reason.
func (d *daemon) refused(t testing.TB, from int, reason string) map[string]any {
	t.Helper()
	rec := d.log.awaitFrom(t, from, "refused", nil)
	if rec["reason"] != reason {
		t.Errorf("refused for the reason %q, want %q: %v", rec["reason"], reason, rec)
	}
	return rec
}

// startEdited serves the site with a configuration in which texts are
// replaced: old, new, old, new.
func (s *site) startEdited(t testing.TB, oldnew ...string) *daemon {
	t.Helper()
	path := s.config(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(oldnew); i += 2 {
		if !bytes.Contains(text, []byte(oldnew[i])) {
			t.Fatalf("the configuration has no %q", oldnew[i])
		}
	}
	return startDaemon(t, s.write(t, "kpopd.hcl", strings.NewReplacer(oldnew...).Replace(string(text))))
}

// concatKeytabs returns a keytab of the site's own with the keys of others. A
// keytab is two octets of version and then one record behind the other.
func (s *site) concatKeytabs(t testing.TB, paths ...string) string {
	t.Helper()
	var all []byte
	for i, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) < 2 || b[0] != 5 || b[1] != 2 {
			t.Fatalf("%s is not a keytab of version 2", path)
		}
		if i > 0 {
			b = b[2:]
		}
		all = append(all, b...)
	}
	return s.write(t, "krb5.keytab", string(all))
}

// sameMessages fails the test at once unless got are the messages of want, in
// any order, octet for octet.
func sameMessages(t testing.TB, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if len(got) != len(want) {
		t.Fatalf("%d messages came, want %d", len(got), len(want))
	}
	for i := range want {
		if at := difference(got[i], want[i]); at >= 0 {
			t.Fatalf("message %d: %d octets came, want %d; from octet %d on %.80q, want %.80q",
				i, len(got[i]), len(want[i]), at, got[i][at:], want[i][at:])
		}
	}
}

// difference returns where two texts begin to differ, -1 for nowhere.
func difference(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}
