package main

import (
	"encoding/base64"
	"strings"
	"testing"
)

// pop3test is Cyrus IMAP's client, whose SASL speaks GSS-SPNEGO. It lists a
// maildrop inside whatever layer it has.
func (s *site) pop3test(t testing.TB, d *daemon, cache string, args ...string) clientRun {
	t.Helper()
	argv := append([]string{"/usr/lib/cyrus/bin/pop3test", "-m", "GSS-SPNEGO", "-p", d.port(t, "pop3")}, args...)
	return runClient(t, s.world.Env(cache), "STAT\r\nRETR 1\r\nQUIT\r\n", append(argv, "localhost")...)
}

// TestSPNEGO logs in with a stock client, with and without a layer of its own.
func TestSPNEGO(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	// What pop3test binds to on TLS 1.3 is no channel binding of RFC 9266, nor
	// named as RFC 5056 §2.1 has it.
	d := s.startEdited(t, `["GSSAPI", "PLAIN", "APOP"]`, `["GSS-SPNEGO", "PLAIN"]`,
		`realms = ["EXAMPLE.TEST", "PARTNER.TEST"]`, `channel_binding = "none"`)
	s.deliver(t, "alice", 2)
	cache := s.world.Kinit(t, "alice")
	for _, c := range []struct {
		name string
		args []string
	}{
		{"none", []string{"-l", "0"}},
		{"confidentiality", []string{"-k", "2"}},
		{"STLS", []string{"-t", "", "-l", "0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mark := d.log.mark()
			s.pop3test(t, d, cache, c.args...).exits(t, 0).says(t, "+OK 2 ", "message 0 ends")
			d.loggedIn(t, mark, "GSS-SPNEGO", "alice")
		})
	}
	t.Run("refused", func(t *testing.T) {
		for token, reason := range map[string]string{
			"NTLMSSP\x00\x01\x00\x00\x00": "ntlm-refused",
			"\x60\x02\x06\x00":            "bad-gss-token",
		} {
			mark := d.log.mark()
			script := "AUTH GSS-SPNEGO " + base64.StdEncoding.EncodeToString([]byte(token)) + "\r\nQUIT\r\n"
			r := runClient(t, s.world.Env(""), script, "socat", "-t30", "STDIO", "TCP:"+d.addrs["pop3"])
			if !strings.Contains(r.out, "-ERR [AUTH] ") {
				t.Errorf("%q: %s", token, r.out)
			}
			d.refused(t, mark, reason)
		}
	})
	d.stop(t)
}
