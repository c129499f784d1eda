package main

import (
	"strings"
	"testing"
	"time"

	"kpopd/auth/krb5"
)

// A mintedRefusal is a ticket that no KDC gives, or an authenticator that no
// client makes, and what becomes of it.
type mintedRefusal struct {
	name            string
	client, service string // "": alice, the mint's
	ticket          krb5.TicketOptions
	request         krb5.RequestOptions
	reason          string // in the log
	code            int    // of the KRB-ERROR
}

func mintedRefusals(t testing.TB) []mintedRefusal {
	now := time.Now()
	of := func(name string) *krb5.Principal { p := principal(t, name); return &p }
	return []mintedRefusal{
		{"expired", "", "", krb5.TicketOptions{AuthTime: now.Add(-2 * time.Hour), End: now.Add(-6 * time.Minute)}, krb5.RequestOptions{}, "ticket-expired", 32},
		{"not yet valid", "", "", krb5.TicketOptions{Start: now.Add(6 * time.Minute)}, krb5.RequestOptions{}, "ticket-not-yet-valid", 33},
		{"invalid", "", "", krb5.TicketOptions{Flags: krb5.TicketInvalid}, krb5.RequestOptions{}, "ticket-invalid", 33},
		{"realm in the authenticator", "alice@PARTNER.TEST", "", krb5.TicketOptions{}, krb5.RequestOptions{Client: of("alice@EXAMPLE.TEST")}, "realm-mismatch", 36},
		{"other realm in the authenticator", "", "", krb5.TicketOptions{}, krb5.RequestOptions{Client: of("alice@PARTNER.TEST")}, "realm-mismatch", 36},
		{"name in the authenticator", "bob@EXAMPLE.TEST", "", krb5.TicketOptions{}, krb5.RequestOptions{Client: of("alice@EXAMPLE.TEST")}, "client-mismatch", 36},
		{"clock behind", "", "", krb5.TicketOptions{}, krb5.RequestOptions{Time: now.Add(-6 * time.Minute)}, "clock-skew", 37},
		{"clock ahead", "", "", krb5.TicketOptions{}, krb5.RequestOptions{Time: now.Add(6 * time.Minute)}, "clock-skew", 37},
		{"user to user", "", "", krb5.TicketOptions{}, krb5.RequestOptions{Options: krb5.RequestUserToUser}, "user-to-user", 67},
		{"other service", "", "imap/mint.example.test", krb5.TicketOptions{}, krb5.RequestOptions{}, "wrong-service", 35},
		{"other service renamed", "", "imap/mint.example.test", krb5.TicketOptions{ShownAs: of("pop/mint.example.test@EXAMPLE.TEST")}, krb5.RequestOptions{}, "bad-integrity", 31},
		{"realm", "alice@ELSEWHERE.TEST", "", krb5.TicketOptions{}, krb5.RequestOptions{}, "realm-not-allowed", 12},
		{"transited", "alice@PARTNER.TEST", "", krb5.TicketOptions{Transited: "ELSEWHERE.TEST"}, krb5.RequestOptions{}, "transited-not-checked", 51},
		{"anonymous", "", "", krb5.TicketOptions{Flags: krb5.TicketAnonymous}, krb5.RequestOptions{}, "anonymous", 12},
		{"ticket-granting", "krbtgt/EXAMPLE.TEST@EXAMPLE.TEST", "", krb5.TicketOptions{}, krb5.RequestOptions{}, "unusable-principal", 12},
	}
}

// TestRefusedMinted shows each to KPOP and to GSSAPI.
func TestRefusedMinted(t *testing.T) {
	t.Parallel()
	s := newMintedSite(t)
	d := s.start(t)
	refusals := mintedRefusals(t)
	for _, c := range refusals {
		client, service := s.alice, s.service
		if c.client != "" {
			client = principal(t, c.client)
		}
		if c.service != "" {
			service = principal(t, c.service+"@EXAMPLE.TEST")
		}
		t.Run("KPOP "+c.name, func(t *testing.T) {
			refusedKPOP(t, d, s.request(t, client, service, c.ticket, c.request), c.reason, c.code)
		})
		t.Run("GSSAPI "+c.name, func(t *testing.T) {
			refusedGSSAPI(t, d, gssToken(s.request(t, client, service, c.ticket, gssChecksum(c.request))), c.reason)
		})
	}
	s.admits(t, d)
	d.stop(t)
}

// refusedKPOP shows an AP-REQ to the KPOP listener: the client gets a
// KRB-ERROR and a line, and the log the reason.
func refusedKPOP(t testing.TB, d *daemon, apReq []byte, reason string, code int) {
	t.Helper()
	mark := d.log.mark()
	c := dial(t, d.addrs["kpop"])
	e := c.sendauth(apReq)
	if e == nil || e.Code != code {
		t.Errorf("KRB-ERROR %v, want %d", e, code)
	}
	if s := c.line(); s != "-ERR [AUTH] Authentication failed" {
		t.Errorf("behind the KRB-ERROR: %q", s)
	}
	c.closed()
	if rec := d.refused(t, mark, reason); rec["mechanism"] != "KPOP" {
		t.Errorf("refused: %v", rec)
	}
}

// refusedGSSAPI shows a token to AUTH GSSAPI: the client gets a line, may go
// on, and the log has the reason.
func refusedGSSAPI(t testing.TB, d *daemon, token []byte, reason string) {
	t.Helper()
	mark := d.log.mark()
	c := dial(t, d.addrs["pop3"])
	c.line()
	if s := c.authGSSAPI(token); s != "-ERR [AUTH] Authentication failed" {
		t.Errorf("AUTH GSSAPI: %q", s)
	}
	c.ok("CAPA")
	if rec := d.refused(t, mark, reason); rec["mechanism"] != "GSSAPI" {
		t.Errorf("refused: %v", rec)
	}
}

// TestRefusedKeys shows tickets that are sealed with keys that the server does
// not have.
func TestRefusedKeys(t *testing.T) {
	t.Parallel()
	s := newMintedSite(t)
	d := s.start(t)
	for _, c := range []struct {
		name, service string
		kvno          uint32
		reason        string
		code          int
	}{
		{"wrong key", "pop/mint.example.test", 1, "bad-integrity", 31},
		{"unknown version", "pop/mint.example.test", 9, "wrong-kvno", 44},
		{"unknown host", "pop/elsewhere.example.test", 1, "no-key", 45},
	} {
		t.Run(c.name, func(t *testing.T) {
			other, err := krb5.NewMint("EXAMPLE.TEST", c.service)
			if err != nil {
				t.Fatal(err)
			}
			o := krb5.TicketOptions{Kvno: c.kvno}
			service := principal(t, c.service+"@EXAMPLE.TEST")
			refusedKPOP(t, d, mintRequest(t, other, s.alice, service, o, krb5.RequestOptions{}), c.reason, c.code)
			refusedGSSAPI(t, d, gssToken(mintRequest(t, other, s.alice, service, o, gssChecksum(krb5.RequestOptions{}))), c.reason)
		})
	}
	s.admits(t, d)
	d.stop(t)
}

// TestRefusedMalformed shows what is no AP-REQ at all.
func TestRefusedMalformed(t *testing.T) {
	t.Parallel()
	s := newMintedSite(t)
	d := s.start(t)
	good := s.aliceRequest(t)
	for name, b := range map[string][]byte{
		"empty":           {},
		"text":            []byte("AUTH GSSAPI\r\n"),
		"AP-REP":          append([]byte{0x6f}, good[1:]...),
		"cut":             good[:len(good)-1],
		"trailing octets": append(append([]byte{}, good...), 0),
		"indefinite":      {0x6e, 0x80, 0, 0},
		"zeros":           make([]byte, 4096),
	} {
		t.Run(name, func(t *testing.T) {
			refusedKPOP(t, d, b, "malformed", 41)
			if len(b) > 0 {
				refusedGSSAPI(t, d, gssToken(b), "bad-gss-token")
			}
		})
	}
	t.Run("announced only", func(t *testing.T) {
		mark := d.log.mark()
		c := dial(t, d.addrs["kpop"])
		c.send([]byte(kpopVersions + "\x7f\xff\xff\xff"))
		c.octets(1)
		if e := parseKRBError(t, c.frame()); e.Code != 61 {
			t.Errorf("KRB-ERROR %v", e)
		}
		if s := c.line(); !strings.HasPrefix(s, "-ERR [AUTH] ") {
			t.Errorf("behind the KRB-ERROR: %q", s)
		}
		d.refused(t, mark, "too-long")
	})
	s.admits(t, d)
	d.stop(t)
}
