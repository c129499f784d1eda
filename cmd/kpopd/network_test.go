package main

import (
	"bufio"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// dialFrom connects from an address of loopback.
func dialFrom(t testing.TB, from, addr string) *client {
	t.Helper()
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(60 * time.Second))
	return &client{t, c, bufio.NewReader(c)}
}

// lines sends a command and returns the lines of its multi-line reply.
func (c *client) lines(cmd string) []string {
	c.t.Helper()
	c.ok("%s", cmd)
	var all []string
	for line := c.line(); line != "."; line = c.line() {
		all = append(all, line)
	}
	return all
}

// TestNetworkPolicy meets one listener from several networks: what CAPA and
// AUTH offer and what USER, APOP and AUTH take is the network's.
func TestNetworkPolicy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.startEdited(t, `  login_without_tls = "any"
}`, `  login_without_tls = "any"
  network "tickets" {
    from       = ["127.0.1.0/24"]
    mechanisms = ["GSSAPI"]
  }
  network "careful" {
    from              = ["127.0.2.0/24"]
    login_without_tls = "tickets"
  }
  network "apop" {
    from       = ["127.0.0.0/16"]
    mechanisms = ["APOP"]
  }
}`)
	for _, c := range []struct {
		from, auth string // AUTH's answer
		user, apop bool
	}{
		{"127.0.1.7", "GSSAPI", false, false},
		{"127.0.2.7", "GSSAPI", false, false}, // the others need TLS, which is not there
		{"127.0.3.7", "", false, true},
		{"127.1.0.7", "GSSAPI PLAIN", true, true},
	} {
		conn := dialFrom(t, c.from, d.addrs["clear"])
		if greeting := conn.line(); strings.HasSuffix(greeting, ">") != (c.apop || c.from == "127.0.2.7") {
			t.Errorf("%s is greeted with %q", c.from, greeting)
		}
		capa := conn.lines("CAPA")
		if slices.Contains(capa, "USER") != c.user || c.auth != "" && !slices.Contains(capa, "SASL "+c.auth) {
			t.Errorf("%s: CAPA %q", c.from, capa)
		}
		if got := strings.Join(conn.lines("AUTH"), " "); got != c.auth {
			t.Errorf("%s: AUTH offers %q, want %q", c.from, got, c.auth)
		}
		if got := conn.say("USER bob"); strings.HasPrefix(got, "+OK") != c.user {
			t.Errorf("%s: USER: %s", c.from, got)
		}
		if got := conn.say("AUTH PLAIN AGJvYgB0YW5zdGFhZg=="); strings.HasPrefix(got, "+OK") != c.user {
			t.Errorf("%s: AUTH PLAIN: %s", c.from, got)
		}
		if c.user {
			conn.ok("QUIT")
			continue
		}
		got := conn.say("APOP bob %032d", 0)
		if strings.HasPrefix(got, "-ERR [AUTH]") != c.apop {
			t.Errorf("%s: APOP: %s", c.from, got)
		}
	}
	rec := d.log.await(t, "refused", func(rec map[string]any) bool { return rec["mechanism"] == "APOP" && rec["network"] == "apop" })
	if rec["reason"] != "wrong-digest" {
		t.Errorf("logged as %v", rec)
	}
	d.stop(t)
}
