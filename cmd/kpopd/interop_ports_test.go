package main

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
)

// TestWrongClients brings clients to the KPOP port that do not speak KPOP.
func TestWrongClients(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	kerberos4 := func(ticket int) string {
		return "AUTHV0.1KPOPV0.1" + string([]byte{0, 0, byte(ticket >> 8), byte(ticket)}) + strings.Repeat("\x04", ticket)
	}
	const pop3 = "-ERR [SYS/PERM] Kerberos required on this port"
	const v4 = "-ERR [SYS/PERM] Kerberos 4 is not supported here, use Kerberos 5"
	for _, c := range []struct{ name, sends, says, reason string }{
		{"CAPA", "CAPA\r\n", pop3, "no-ticket"},
		{"USER", "USER alice\r\nPASS secret\r\n", pop3, "no-ticket"},
		{"AUTH", "AUTH GSSAPI\r\n", pop3, "no-ticket"},
		{"AUTH alone", "AUTH\r\n", pop3, "no-ticket"},
		{"HTTP", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", pop3, "no-ticket"},
		{"Kerberos 4", kerberos4(120), v4, "kerberos-4"},
		{"Kerberos 4, longest ticket", kerberos4(1250), v4, "kerberos-4"},
		{"Kerberos 4, too long", kerberos4(1251), v4, "kerberos-4"},
		{"sendauth version", "\x00\x00\x00\x13KRB5_SENDAUTH_V2.0\x00\x00\x00\x00\x09KPOPV1.0\x00",
			"\x01-ERR [SYS/PERM] This version of sendauth is not supported here", "sendauth-version"},
		{"version without its end", "\x00\x00\x00\x13KRB5_SENDAUTH_V1.0\x00\x00\x00\x00\x08KPOPV1.0",
			"\x02-ERR [SYS/PERM] This version of KPOP is not supported here", "kpop-version"},
		{"empty versions", "\x00\x00\x00\x13KRB5_SENDAUTH_V1.0\x00\x00\x00\x00\x00",
			"\x02-ERR [SYS/PERM] This version of KPOP is not supported here", "kpop-version"},
		{"justjunk", "\x00\x00\x00\x13KRB5_SENDAUTH_V1.0\x00\x00\x00\x00\x09justjunk\x00",
			"\x02-ERR [SYS/PERM] This version of KPOP is not supported here", "kpop-version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mark := d.log.mark()
			client := dial(t, d.addrs["kpop"])
			client.send([]byte(c.sends))
			if line := client.line(); line != c.says {
				t.Errorf("server says %q, want %q", line, c.says)
			}
			client.closed()
			d.refused(t, mark, c.reason)
		})
	}
	t.Run("TLS", func(t *testing.T) { wrongTLS(t, s, d) })
	d.stop(t)
}

// wrongTLS begins with a handshake, which gets no text for an answer.
func wrongTLS(t *testing.T, s *site, d *daemon) {
	mark := d.log.mark()
	runClient(t, s.world.Env(""), "", "openssl", "s_client", "-brief", "-connect", d.addrs["kpop"]).exits(t, 1)
	d.refused(t, mark, "tls-hello")
	mark = d.log.mark()
	c := dial(t, d.addrs["kpop"])
	err := tls.Client(c, &tls.Config{ServerName: "localhost", RootCAs: s.world.CA.Pool()}).Handshake()
	if _, ok := err.(tls.RecordHeaderError); ok || err == nil {
		t.Errorf("TLS where there is none: %v", err)
	}
	d.refused(t, mark, "tls-hello")
	runClient(t, s.world.Env(""), "", "curl", "-sS", "-m", "50", "--cacert", s.CA, "-u", "alice:secret",
		fmt.Sprintf("pop3s://localhost:%s/", d.port(t, "kpop"))).exits(t, 35) // CURLE_SSL_CONNECT_ERROR
}

// TestSilence waits at every port until the time for the login is over. curl
// waits for a greeting at the KPOP port.
func TestSilence(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const soon = "login_timeout = \"5s\"\n  "
	d := s.startEdited(t, `protocol = "kpop"`, soon+`protocol = "kpop"`, `protocol          = "pop3"`, soon+`protocol = "pop3"`)
	cache := s.world.Kinit(t, "alice")
	kpop, half, pop3 := dial(t, d.addrs["kpop"]), dial(t, d.addrs["kpop"]), dial(t, d.addrs["pop3"])
	half.send([]byte(kpopVersions + "\x00\x00"))
	pop3.line()
	r := runClient(t, s.world.Env(""), "", "curl", "-sS", "-m", "50", "-u", "alice:secret", "pop3://localhost:"+d.port(t, "kpop"))
	if r.status == 0 || r.status == 28 { // CURLE_OPERATION_TIMEDOUT
		t.Errorf("curl without a greeting: %v", r)
	}
	kpop.closed()
	if status := half.octets(1); status[0] != 0 {
		t.Errorf("status %d", status[0])
	}
	half.closed()
	pop3.closed()
	s.newFetchmail(t, cache, d.kpopServer(), "user alice "+noTLS).poll(t).exits(t, fetchmailNone)
	d.stop(t)
}
