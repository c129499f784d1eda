package main

import (
	"strings"
	"testing"
)

// carol is in a realm that the site's realm trusts. A rule gives her a
// maildrop of her own.
const carol = "carol@PARTNER.TEST"

// TestOtherRealm collects the mail of a user of another realm, by the name of
// her principal and by that of her maildrop.
func TestOtherRealm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	cache := s.world.Kinit(t, carol)
	gssapi := "proto POP3 auth gssapi port " + d.port(t, "pop3")
	for _, c := range []struct{ name, server, user, mechanism string }{
		{"KPOP", d.kpopServer(), "user '" + carol + "' " + noTLS, "KPOP"},
		{"KPOP by maildrop", d.kpopServer(), "user 'partner/carol' sslcertfile %CA%", "KPOP"},
		{"GSSAPI", gssapi, "user '" + carol + "' " + viaTLS, "GSSAPI"},
		{"GSSAPI by maildrop", gssapi, "user 'partner/carol' " + noTLS, "GSSAPI"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.deliver(t, "carol", 1) // somebody else's
			texts := s.deliver(t, "partner/carol", 2)
			mark := d.log.mark()
			s.newFetchmail(t, cache, c.server, c.user+" fetchall").collects(t, texts)
			rec := d.loggedIn(t, mark, c.mechanism, "partner/carol")
			if rec["user"] != carol || rec["principal"] != carol {
				t.Errorf("login: %v", rec)
			}
		})
	}
	t.Run("no authzid", func(t *testing.T) {
		mark := d.log.mark()
		runClient(t, s.world.Env(cache), "", "curl", "-sS", "-m", "50", "--login-options", "AUTH=GSSAPI", "-u", ":",
			"pop3://localhost:"+d.port(t, "pop3")).exits(t, 0)
		d.loggedIn(t, mark, "GSSAPI", "partner/carol")
	})
	if n := len(s.messages(t, "carol")); n != 4 {
		t.Errorf("the local carol has %d messages, want 4", n)
	}
	d.stop(t)
}

// TestRefusedIdentity shows good tickets of people who may not have what they
// ask for.
func TestRefusedIdentity(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deliver(t, "bob", 1)
	s.deliver(t, "alice", 1)
	d := s.start(t)
	for _, c := range []struct{ name, principal, user, reason string }{
		{"bob's maildrop", "alice", "bob", "authzid-not-allowed"},
		{"the local carol's maildrop", carol, "carol", "authzid-not-allowed"},
		{"the local alice's maildrop", "alice@PARTNER.TEST", "alice", "authzid-not-allowed"},
		{"an instance", "alice/admin", "alice/admin", "no-account-rule"},
		{"an instance's user", "alice/admin", "alice", "no-account-rule"},
		{"a prefix", "alice", "alic", "authzid-not-allowed"},
		{"a longer name", "alice", "alice2", "authzid-not-allowed"},
		{"upper case", "alice", "ALICE", "authzid-not-allowed"},
		{"a path", "alice", "../bob", "authzid-not-allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cache := s.world.Kinit(t, c.principal)
			user := "user '" + c.user + "' fetchall " + viaTLS
			for _, server := range []string{d.kpopServer(), "proto POP3 auth gssapi port " + d.port(t, "pop3")} {
				mark := d.log.mark()
				f := s.newFetchmail(t, cache, server, user)
				f.poll(t).exits(t, fetchmailAuth).says(t, "-ERR [AUTH] Authentication failed")
				d.refused(t, mark, c.reason)
			}
		})
	}
	t.Run("then his own", func(t *testing.T) { thenOwn(t, s, d) })
	if n := len(s.messages(t, "bob")); n != 1 {
		t.Errorf("bob has %d messages, want 1", n)
	}
	d.stop(t)
}

// thenOwn asks for somebody else's maildrop and then, in the same session, for
// one's own.
func thenOwn(t *testing.T, s *site, d *daemon) {
	ask := strings.Split(s.sendauth(t, d, "alice", "USER bob\nPASS krb_ticket\nSTAT\nUSER alice\nPASS krb_ticket\nSTAT\nQUIT\n"), "\r\n")
	for i, want := range []string{"+OK", "+OK", "-ERR [AUTH] ", "-ERR", "+OK", "+OK 1 messages", "+OK 1 ", "+OK Bye"} {
		if len(ask) < 9 || !strings.HasPrefix(ask[i], want) {
			t.Fatalf("the session goes %q, want %q in line %d", ask, want, i+1)
		}
	}
	cache := s.world.Kinit(t, "alice")
	s.newFetchmail(t, cache, d.kpopServer(), "user alice keep "+noTLS).poll(t).exits(t, 0)
}

// TestRefusedRealm lets one realm in only.
func TestRefusedRealm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.startEdited(t, `["EXAMPLE.TEST", "PARTNER.TEST"]`, `["EXAMPLE.TEST"]`)
	cache := s.world.Kinit(t, carol)
	mark := d.log.mark()
	s.newFetchmail(t, cache, d.kpopServer(), "user '"+carol+"' "+noTLS).userSees(t, "Realm is not accepted")
	d.refused(t, mark, "realm-not-allowed")
	mark = d.log.mark()
	f := s.newFetchmail(t, cache, "proto POP3 auth gssapi port "+d.port(t, "pop3"), "user '"+carol+"' "+noTLS)
	f.poll(t).exits(t, fetchmailAuth).says(t, "-ERR [AUTH] Authentication failed")
	d.refused(t, mark, "realm-not-allowed")
	s.newFetchmail(t, s.world.Kinit(t, "alice"), d.kpopServer(), "user alice "+noTLS).poll(t).exits(t, fetchmailNone)
	d.stop(t)
}
