package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kpopd/auth/krb5"
)

// TestConnectionsPerUser lets one user into two maildrops, one at a time.
func TestConnectionsPerUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Extra = `
listener "other" {
  address           = "127.0.0.1:0"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "any"
}
account {
  maildrop = "${user}-${listener}"
}
limits {
  connections_per_user = 1
}
`
	d := s.start(t)
	one, two := dial(t, d.addrs["clear"]), dial(t, d.addrs["other"])
	one.login("bob", bobPassword)
	two.line()
	two.ok("USER bob")
	if got := two.say("PASS %s", bobPassword); got != "-ERR [SYS/TEMP] Too many connections of this user, try again later" {
		t.Errorf("a second session: %s", got)
	}
	d.refused(t, 0, "too-many-sessions")
	one.ok("QUIT")
	two.ok("USER bob")
	two.ok("PASS %s", bobPassword)
	two.ok("QUIT")
	d.stop(t)
}

// TestConnectionsOfAgent: who acts as several users has the connections of each.
func TestConnectionsOfAgent(t *testing.T) {
	t.Parallel()
	s := newAuditSite(t, filepath.Join(t.TempDir(), "audit.log"))
	s.Extra += "limits {\n  connections_per_user = 1\n}\n"
	d := s.start(t)
	for _, user := range []string{"alice", "bob"} {
		c := dial(t, d.addrs["clear"])
		c.line()
		if got := c.as(user, "webmail", "postman"); !strings.HasPrefix(got, "+OK 0 ") {
			t.Errorf("webmail as %s: %s", user, got)
		}
	}
	c := dial(t, d.addrs["clear"])
	c.line()
	if got := c.as("bob", "webmail", "postman"); !strings.HasPrefix(got, "-ERR [SYS/TEMP] Too many connections") {
		t.Errorf("webmail as bob once more: %s", got)
	}
}

// TestUnfinishedExchanges: whoever has a ticket and begins exchanges without an
// end is stopped, by name and in all protocols, before his authenticators reach
// the replay cache. Others at his address are not.
func TestUnfinishedExchanges(t *testing.T) {
	t.Parallel()
	s := newMintedSite(t)
	s.Extra = "throttle {\n  failures_per_minute = 3\n  delay = \"0s\"\n}\n"
	d := s.start(t)
	token := func() []byte {
		return gssToken(s.request(t, s.alice, s.service, krb5.TicketOptions{}, gssChecksum(krb5.RequestOptions{})))
	}
	c := dial(t, d.addrs["pop3"])
	c.line()
	for range 3 {
		if got := c.authGSSAPI(token()); !strings.HasPrefix(got, "+ ") {
			t.Fatalf("a right ticket: %s", got)
		}
		c.say("*")
	}
	throttled := func(mechanism string) {
		t.Helper()
		d.log.await(t, "refused", func(rec map[string]any) bool {
			return rec["mechanism"] == mechanism && rec["reason"] == "throttled"
		})
	}
	if got := c.authGSSAPI(token()); got != "-ERR [AUTH] Authentication failed" {
		t.Errorf("after three unfinished exchanges: %s", got)
	}
	throttled("GSSAPI")
	if e := dial(t, d.addrs["kpop"]).sendauth(s.aliceRequest(t)); e == nil {
		t.Error("KPOP goes on")
	}
	throttled("KPOP")
	s.alice = principal(t, "bob@EXAMPLE.TEST")
	k := dial(t, d.addrs["kpop"])
	if e := k.sendauth(s.aliceRequest(t)); e != nil {
		t.Errorf("bob is stopped: %v", *e)
	}
	d.stop(t)
}

// TestHeldBack: the fourth wrong password is answered later than the third, and
// the right one at once. What is timed are sleeps of the server's, which are
// never too short.
func TestHeldBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Extra = "throttle {\n  delay = \"1s\"\n  max_delay = \"1s\"\n}\n"
	d := s.start(t)
	for i := range 5 {
		c := dial(t, d.addrs["clear"])
		c.line()
		c.ok("USER bob")
		start := time.Now()
		if got := c.say("PASS %s", fmt.Sprint("guess", i)); got != "-ERR [AUTH] Authentication failed" {
			t.Errorf("guess %d: %s", i, got)
		}
		if took := time.Since(start); i >= 3 && took < time.Second {
			t.Errorf("guess %d is answered after %s", i, took)
		}
	}
	c := dial(t, d.addrs["clear"])
	c.login("bob", bobPassword)
	c.ok("QUIT")
	d.stop(t)
}
