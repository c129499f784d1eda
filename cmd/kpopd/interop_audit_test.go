package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"kpopd/config"
)

// auditRules let webmail act as anybody, from one address of loopback.
const auditRules = `
account {
  when               = user == "webmail"
  maildrop           = "webmail"
  allow_authzid      = true
  allow_authzid_from = ["127.0.0.1", "unix"]
}
listener "socket" {
  address           = "unix:%[1]s/pop3.sock"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "any"
}
audit {
  file = "%[2]s"
}
`

// newAuditSite is a site with the user webmail and a record in a file.
func newAuditSite(t *testing.T, file string) *site {
	s := newSite(t)
	users, err := os.ReadFile(filepath.Join(s.Dir, "users"))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "users", string(users)+"webmail:{PLAIN}postman\n")
	s.Extra = fmt.Sprintf(auditRules, s.Dir, file)
	return s
}

// as logs in by PLAIN and acts as somebody else, and returns the reply.
func (c *client) as(authzid, user, password string) string {
	c.t.Helper()
	return c.say("AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte(authzid+"\x00"+user+"\x00"+password)))
}

// from connects to a listener from another address of loopback.
func from(t *testing.T, local, addr string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

// audited reads records, each of which is one line of JSON.
func audited(t *testing.T, files ...string) (all []map[string]any) {
	t.Helper()
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			var rec map[string]any
			if err := json.Unmarshal([]byte(line), &rec); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			all = append(all, rec)
		}
	}
	return all
}

// TestAudit reads the record of what an agent did in the name of another.
func TestAudit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	s := newAuditSite(t, file)
	s.deliver(t, "bob", 2)
	path := s.config(t)
	d := startDaemon(t, path)

	c := from(t, "127.0.0.1", d.addrs["clear"])
	c.line()
	if got := c.as("bob", "webmail", "postman"); !strings.HasPrefix(got, "+OK 2 ") {
		t.Fatalf("acting as bob: %s", got)
	}
	c.ok("DELE 2")
	c.ok("QUIT")

	outside := from(t, "127.0.0.2", d.addrs["clear"])
	outside.line()
	if got := outside.as("bob", "webmail", "postman"); !strings.HasPrefix(got, "-ERR [AUTH]") {
		t.Errorf("acting as bob from elsewhere: %s", got)
	}
	conn, err := net.Dial("unix", filepath.Join(s.Dir, "pop3.sock"))
	if err != nil {
		t.Fatal(err)
	}
	local := newClient(t, conn)
	local.line()
	if got := local.as("alice", "webmail", "postman"); !strings.HasPrefix(got, "+OK 0 ") {
		t.Errorf("acting as alice on a Unix socket: %s", got)
	}
	local.ok("QUIT")
	d.log.await(t, "login", func(rec map[string]any) bool { return rec["addr"] == "unix" })
	d.stop(t)

	conf, diags := config.Load(path)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	rule := ruleName(&conf.Accounts[1])
	var got []string
	for _, rec := range audited(t, file) {
		addr, _, _ := strings.Cut(rec["address"].(string), ":")
		got = append(got, fmt.Sprint(rec["event"], " ", rec["listener"], " ", addr, " ", rec["user"], " as ", rec["authzid"], ": ",
			rec["maildrop"], " by ", rec["rule"], " ", rec["reason"], " ", rec["deleted"]))
	}
	want := []string{
		"impersonation clear 127.0.0.1 webmail as bob: bob by " + rule + " <nil> <nil>",
		"login clear 127.0.0.1 webmail as bob: bob by <nil> <nil> <nil>",
		"update clear 127.0.0.1 webmail as <nil>: bob by <nil> <nil> 1",
		"end clear 127.0.0.1 webmail as <nil>: bob by <nil> <nil> 1",
		"refused clear 127.0.0.2 webmail as bob: <nil> by <nil> authzid-network <nil>",
		"impersonation socket unix webmail as alice: alice by " + rule + " <nil> <nil>",
		"login socket unix webmail as alice: alice by <nil> <nil> <nil>",
		"end socket unix webmail as <nil>: alice by <nil> <nil> 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	data, _ := os.ReadFile(file)
	for _, secret := range []string{"postman", base64.StdEncoding.EncodeToString([]byte("bob\x00webmail\x00postman"))} {
		if strings.Contains(string(data)+d.log.String(), secret) {
			t.Errorf("the record or the log holds %q", secret)
		}
	}
}

// TestAuditRotation rotates the record while many sessions are recorded.
func TestAuditRotation(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.log")
	s := newAuditSite(t, file)
	d := s.start(t)
	const clients, sessions = 8, 12
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := range sessions {
				c := dial(t, d.addrs["clear"])
				c.line()
				if got := c.as(fmt.Sprintf("user%d", i), "webmail", "postman"); !strings.HasPrefix(got, "+OK") && !strings.HasPrefix(got, "-ERR [IN-USE]") {
					t.Error(got)
				}
				c.ok("QUIT")
			}
		})
	}
	files := []string{file}
	for i := range 5 {
		old := fmt.Sprintf("%s.%d", file, i)
		if err := os.Rename(file, old); err != nil {
			t.Fatal(err)
		}
		files = append(files, old)
		mark := d.log.mark()
		d.signal(t, syscall.SIGHUP)
		d.log.awaitFrom(t, mark, "configuration reloaded", nil)
	}
	all.Wait()
	d.stop(t)
	count := map[any]int{}
	seq := map[any]bool{}
	for _, rec := range audited(t, files...) {
		count[rec["event"]]++
		seq[rec["seq"]] = true
	}
	if n := clients * sessions; count["impersonation"] != n || count["login"]+count["refused"] != n || count["end"] != count["login"] {
		t.Errorf("of %d sessions: %v", n, count)
	}
	for i := range len(seq) {
		if !seq[float64(i+1)] {
			t.Fatalf("record %d of %d is missing", i+1, len(seq))
		}
	}
}

// TestAuditFull lets everybody in while the disk is full but who acts as
// somebody else.
func TestAuditFull(t *testing.T) {
	s := newAuditSite(t, "/dev/full")
	s.deliver(t, "bob", 1)
	d := s.start(t)
	c := dial(t, d.addrs["clear"])
	c.line()
	if got := c.as("bob", "webmail", "postman"); !strings.HasPrefix(got, "-ERR [SYS/TEMP]") {
		t.Errorf("acting as bob: %s", got)
	}
	if got := c.as("", "webmail", "postman"); !strings.HasPrefix(got, "+OK") {
		t.Errorf("acting as itself: %s", got)
	}
	c.ok("QUIT")
	d.log.await(t, "the audit log cannot be written", func(rec map[string]any) bool { return rec["level"] == "ERROR" })
	d.log.await(t, "refused", func(rec map[string]any) bool { return rec["reason"] == "audit-unavailable" })

	// Where it can be written, the log has it too.
	s.Extra = strings.Replace(s.Extra, "/dev/full", s.Dir+"/audit.log", 1)
	s.config(t)
	d.signal(t, syscall.SIGHUP)
	d.log.await(t, "configuration reloaded", nil)
	mark := d.log.mark()
	c = dial(t, d.addrs["clear"])
	c.line()
	if got := c.as("bob", "webmail", "postman"); !strings.HasPrefix(got, "+OK 1 ") {
		t.Errorf("acting as bob: %s", got)
	}
	c.ok("QUIT")
	d.log.awaitFrom(t, mark, "impersonation", func(rec map[string]any) bool { return rec["level"] == "INFO" && rec["authzid"] == "bob" })
}
