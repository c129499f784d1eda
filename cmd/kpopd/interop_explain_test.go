package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"kpopd/testenv"
)

// explained runs kpopd explain and returns its JSON and exit status.
func explained(t *testing.T, config string, args ...string) (explanation, int) {
	t.Helper()
	cmd := kpopd(append([]string{"explain", "-config", config, "-json"}, args...)...)
	var diags bytes.Buffer
	cmd.Stderr = &diags
	out, err := cmd.Output()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	var x explanation
	if err := json.Unmarshal(out, &x); err != nil {
		t.Fatalf("%v: %s%s", err, out, &diags)
	}
	return x, cmd.ProcessState.ExitCode()
}

// TestExplain asks about people that the KDC and the file of users know, and
// then lets them log in: what is explained is what happens.
func TestExplain(t *testing.T) {
	s := newSite(t)
	path := s.config(t)
	s.deliver(t, "bob", 1)
	d := startDaemon(t, path)
	for _, c := range []struct{ name, mechanism, maildrop, reason string }{
		{"alice@EXAMPLE.TEST", "GSSAPI", "alice", ""},
		{"alice", "USER", "alice", ""},
		{"Carol@PARTNER.TEST", "GSSAPI", "partner/carol", ""},
		{"alice/admin@EXAMPLE.TEST", "GSSAPI", "", "no-account-rule"},
		{"krbtgt/EXAMPLE.TEST@EXAMPLE.TEST", "USER", "", "unknown-user"},
		{"alice@ELSEWHERE.TEST", "USER", "", "unknown-user"},
	} {
		x, status := explained(t, path, c.name)
		reason := ""
		if len(x.Reasons) > 0 {
			reason = x.Reasons[0]
		}
		name := ""
		if x.Maildrop != nil {
			name = x.Maildrop.Name
		}
		if x.Mechanism != c.mechanism || name != c.maildrop || reason != c.reason || (status == 0) != x.LetIn || x.LetIn != (reason == "") {
			t.Errorf("%s: status %d, %+v", c.name, status, x)
		}
	}
	if x, _ := explained(t, path, "alice@ELSEWHERE.TEST", "-mechanism", "KPOP"); x.LetIn || x.Listener.Name != "kpop" || x.Reasons[0] != "realm-not-allowed" {
		t.Errorf("a foreign realm: %+v", x)
	}
	// Somebody has the maildrop open.
	c := dial(t, d.addrs["clear"])
	c.login("bob", bobPassword)
	x, status := explained(t, path, "bob")
	if status != 0 || !x.Maildrop.Exists || x.Maildrop.Holder != d.cmd.Process.Pid {
		t.Errorf("bob is logged in: %+v", x.Maildrop)
	}
	c.ok("QUIT")
	if x, _ := explained(t, path, "bob"); x.Maildrop.Holder != 0 {
		t.Errorf("bob has gone: %+v", x.Maildrop)
	}
	d.stop(t)
}

// TestExplainLDAP asks a directory, and then one that is not there.
func TestExplainLDAP(t *testing.T) {
	w := testenv.Start(t)
	dir := w.LDAP(t)
	s := newSite(t)
	s.startLDAP(t, "", dir.TLSURL).stop(t)
	path := filepath.Join(s.Dir, "kpopd.hcl")
	for _, c := range []struct {
		args     []string
		maildrop string
	}{
		{[]string{"bob"}, "shared-bob"},
		{[]string{"bob@EXAMPLE.TEST", "-mechanism", "GSSAPI"}, "shared-bob"},
	} {
		x, status := explained(t, path, c.args...)
		if status != 0 || x.Maildrop == nil || x.Maildrop.Name != c.maildrop || len(x.Directory) != 1 || x.Directory[0].DN != "uid=bob,"+testenv.PeopleDN {
			t.Errorf("%v: status %d, %+v", c.args, status, x)
		}
		if x.Identity.Attrs["mailbox"] == "" || len(x.Identity.Groups) == 0 {
			t.Errorf("%v: %+v", c.args, x.Identity)
		}
	}
	if x, status := explained(t, path, "dave"); status != 1 || fmt.Sprint(x.Reasons) != "[account-disabled]" || len(x.Rules) == 0 {
		t.Errorf("dave is disabled: status %d, %+v", status, x)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	down := s.write(t, "down.hcl", string(bytes.ReplaceAll(text, []byte(dir.TLSURL), []byte("ldaps://127.0.0.1:1"))))
	x, status := explained(t, down, "alice@EXAMPLE.TEST", "-mechanism", "GSSAPI")
	if status != 1 || x.LetIn || x.Reasons[0] != "directory-unavailable" || x.Identity.User != "alice" || len(x.Rules) == 0 || x.Directory[0].Error == "" {
		t.Errorf("the directory is down: status %d, %+v", status, x)
	}
}
