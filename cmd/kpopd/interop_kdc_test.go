package main

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kpopd/testenv"
)

// freshService is the name of a service that no test had before: the KDC
// outlives the tests of one run.
func freshService(kind string) string {
	return fmt.Sprintf("pop/%s-%s.example.test", kind, strings.ToLower(rand.Text()))
}

// through makes fetchmail believe that the server is the host of a service.
func (f *fetchmail) through(t testing.TB, service string) *fetchmail {
	t.Helper()
	_, host, _ := strings.Cut(service, "/")
	f.host = host
	f.write(t)
	return f
}

// userSees fails the test unless fetchmail is refused and shows the server's
// KRB-ERROR and its line.
func (f *fetchmail) userSees(t testing.TB, text string) {
	t.Helper()
	f.poll(t).exits(t, fetchmailError).says(t, "server says '"+text+"'", "-ERR [AUTH] Authentication failed")
}

// TestRefusedKDC shows tickets of the KDC that are no longer, or never were,
// good here.
func TestRefusedKDC(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Keytab = s.concatKeytabs(t, s.world.Keytab, s.world.OtherKeytab)
	d := s.start(t)
	bin := testenv.Sendauth(t)
	alice := s.world.Kinit(t, "alice")
	past := s.world.PastTicket(t, "alice", "pop/localhost", 3*time.Hour, time.Hour)
	for _, c := range []struct {
		name, cache, service string
		flags                []string
		reason, says         string
	}{
		{"expired", past, "pop/localhost", []string{"-stale"}, "ticket-expired", "KRB-ERROR 32: Ticket expired"},
		{"imap", alice, "imap/localhost", nil, "wrong-service", "KRB-ERROR 35: The ticket is for another service"},
		{"host", alice, "host/localhost", []string{"-mutual"}, "wrong-service", "KRB-ERROR 35: The ticket is for another service"},
		{"ticket-granting ticket", alice, "krbtgt/EXAMPLE.TEST", nil, "wrong-service", "KRB-ERROR 35: The ticket is for another service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			mark := d.log.mark()
			r := s.world.RunSendauth(t, bin, c.cache, d.addrs["kpop"], c.service, "", c.flags...)
			if r.Code != 2 || r.Stderr != c.says+"\n-ERR [AUTH] Authentication failed\n" {
				t.Errorf("status %d\n%v", r.Code, r)
			}
			d.refused(t, mark, c.reason)
		})
	}
	t.Run("clock", func(t *testing.T) { refusedClock(t, s, d) })
	d.stop(t)
}

// refusedClock runs fetchmail on a machine whose clock is wrong.
func refusedClock(t *testing.T, s *site, d *daemon) {
	// A ticket that is valid for the client's clock too, else it would not be used.
	cache := s.world.PastTicket(t, "alice", "pop/localhost", time.Hour, 10*time.Hour)
	for _, by := range []string{"-360s", "+360s"} {
		mark := d.log.mark()
		f := s.newFetchmail(t, cache, d.kpopServer(), "user alice "+noTLS)
		f.argv0 = []string{"faketime", "-f", by}
		f.userSees(t, "Clock skew too great")
		d.refused(t, mark, "clock-skew")
	}
	s.newFetchmail(t, cache, d.kpopServer(), "user alice "+noTLS).poll(t).exits(t, fetchmailNone)
}

// TestRefusedRC4 uses a service with keys of RC4: a ticket that is sealed with
// one, and one of AES whose session key is of RC4.
func TestRefusedRC4(t *testing.T) {
	t.Parallel()
	for name, etypes := range map[string][]string{
		"ticket":      {"arcfour-hmac"},
		"session key": {"aes256-cts-hmac-sha1-96", "arcfour-hmac"},
	} {
		t.Run(name, func(t *testing.T) {
			service := freshService("rc4")
			s := newSite(t)
			s.Keytab = s.concatKeytabs(t, s.world.Keytab, s.world.AddService(t, service, etypes...))
			d := s.start(t)
			cache := s.world.Kinit(t, "alice")
			s.world.WeakTicket(t, cache, service)
			f := s.newFetchmail(t, cache, d.kpopServer(), "user alice "+noTLS).through(t, service)
			f.env = slices.Concat(f.env, []string{"KRB5_CONFIG=" + s.world.WeakConf})
			mark := d.log.mark()
			f.userSees(t, "Encryption type is not permitted")
			d.refused(t, mark, "weak-enctype")
			d.stop(t)
		})
	}
}

// TestRotation changes the service's key under the running server, in both
// ways in which administrators do: with the old key kept in the keytab, and
// replaced.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	service := freshService("rotated")
	s.Keytab = s.world.AddService(t, service)
	d := s.start(t)
	bin := testenv.Sendauth(t)
	var caches []string
	holdTicket := func(kvno int) {
		cache := s.world.Kinit(t, "alice")
		if got := s.world.Ticket(t, cache, service); got != kvno {
			t.Fatalf("the ticket is for version %d of the key, want %d", got, kvno)
		}
		caches = append(caches, cache)
	}
	login := func(cache string) testenv.Result {
		return s.world.RunSendauth(t, bin, cache, d.addrs["kpop"], service, "USER alice\nPASS krb_ticket\nQUIT\n", "-mutual")
	}
	holdTicket(1)
	for i, keepOld := range []bool{true, false, true} {
		s.world.Rotate(t, s.Keytab, service, keepOld)
		holdTicket(i + 2)
		// The server looks at the keytab once a second, and whenever no key opens
		// a ticket: not one login is refused.
		for kvno, cache := range caches {
			if r := login(cache); r.Code != 0 || !strings.Contains(r.Stdout, "+OK Bye") {
				t.Errorf("after change %d, keeping the old key: %t: ticket for version %d\n%v\n%s", i+1, keepOld, kvno+1, r, d.log)
			}
		}
	}
	d.stop(t)
}

// TestRefusedStaleKeytab runs with a keytab that the KDC has left behind.
func TestRefusedStaleKeytab(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	changed, replaced := freshService("changed"), freshService("replaced")
	s.Keytab = s.concatKeytabs(t, s.world.AddService(t, changed), s.world.AddService(t, replaced))
	s.world.Kadmin(t, testenv.Realm, "cpw -randkey "+changed)
	s.world.Kadmin(t, testenv.Realm, "delprinc -force "+replaced)
	s.world.AddService(t, replaced) // version 1 again
	d := s.start(t)
	cache := s.world.Kinit(t, "alice")
	for _, c := range []struct{ service, text, reason string }{
		{changed, "Specified version of key is not available", "wrong-kvno"},
		{replaced, "Integrity check failed", "bad-integrity"},
	} {
		mark := d.log.mark()
		s.newFetchmail(t, cache, d.kpopServer(), "user alice "+noTLS).through(t, c.service).userSees(t, c.text)
		d.refused(t, mark, c.reason)
	}
	d.stop(t)
}
