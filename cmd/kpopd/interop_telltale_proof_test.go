package main

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"kpopd/testenv"
)

const unthrottled = "throttle {\n  enabled = false\n}\n"

// TestNothingTellsPrincipals guesses at users of a KDC and at users that it does
// not know.
func TestNothingTellsPrincipals(t *testing.T) {
	s := newSite(t)
	s.Extra = unthrottled
	d := s.startKerberosPasswords(t, s.world.Krb5Conf)
	for _, name := range []string{"USER", "PLAIN"} {
		t.Run(name, func(t *testing.T) { compare(t, d.addrs["clear"], guesses[name], "bob") })
	}
}

// TestNothingTellsDisabled guesses at somebody whom the directory has disabled.
func TestNothingTellsDisabled(t *testing.T) {
	s := newSite(t)
	s.Extra = unthrottled
	d := s.startLDAP(t, "", s.world.LDAP(t).TLSURL)
	for _, name := range []string{"USER", "PLAIN"} {
		t.Run(name, func(t *testing.T) { compare(t, d.addrs["clear"], guesses[name], "dave") })
	}
}

// TestNothingTellsHolders shows tokens that are wrong, for users that exist and
// users that do not, and one that is right for somebody else.
func TestNothingTellsHolders(t *testing.T) {
	o := newOAuth(t, "")
	o.Extra += unthrottled + o.ldapBlock(t, "", o.world.LDAP(t).TLSURL)
	o.serve(t)
	expired := o.issuer.Token(t, map[string]any{"exp": 1})
	alice := o.issuer.Token(t, nil)
	signature := strings.LastIndex(alice, ".") + 1
	for name, token := range map[string]string{
		"expired": expired, "forged": alice[:signature] + strings.Repeat("A", len(alice)-signature), "another's": alice,
	} {
		for mechanism, message := range map[string]func(user, token string) string{"OAUTHBEARER": bearer, "XOAUTH2": xoauth} {
			t.Run(mechanism+" "+name, func(t *testing.T) {
				compare(t, o.d.addrs["clear"], func(t *testing.T, addr, user string) (string, time.Duration) {
					c := beginGuess(t, addr)
					c.send("AUTH "+mechanism+" "+message(user, token), asItIs)
					took := c.took
					c.send("AQ==", asItIs)
					c.took += took
					return c.end()
				}, "bob")
			})
		}
	}
}

// TestNothingTellsOthers asks, in the name of somebody proven, to act as users
// that exist and as users that do not.
func TestNothingTellsOthers(t *testing.T) {
	m := newMintedSite(t)
	m.Extra = unthrottled
	d := m.start(t)
	for name, try := range map[string]guess{
		"PLAIN": func(t *testing.T, addr, user string) (string, time.Duration) {
			c := beginGuess(t, addr)
			c.send("AUTH PLAIN "+base64Of(user+"\x00bob\x00"+bobPassword), asItIs)
			return c.end()
		},
		"KPOP": func(t *testing.T, _, user string) (string, time.Duration) {
			c := &attempt{client: dial(t, d.addrs["kpop"])}
			if refusal := c.sendauth(m.aliceRequest(t)); refusal != nil {
				t.Fatalf("refused: %+v", refusal)
			}
			c.line()
			c.send("USER "+user, asItIs)
			took := c.took
			c.send(fmt.Sprint("PASS ", rand.Int64()), asItIs)
			c.took += took
			return c.end()
		},
	} {
		known := map[string]string{"PLAIN": "alice", "KPOP": "bob"}[name]
		t.Run(name, func(t *testing.T) { compare(t, d.addrs["clear"], try, known) })
	}
	d.stop(t)
}

// TestNothingTellsOwners asks by certificate for users that exist and users that
// do not: with somebody else's, with one that is revoked, and with none.
func TestNothingTellsOwners(t *testing.T) {
	s := newClientSite(t)
	s.Extra += unthrottled
	revoked := s.issue(t, upn("alice"))
	s.revoke(t, testenv.Revoked{Certs: [][]byte{revoked.Cert}})
	d := s.start(t)
	for name, config := range map[string]*tls.Config{
		"another's": with(t, s.issue(t, upn("alice")), tls.VersionTLS13),
		"revoked":   with(t, revoked, tls.VersionTLS13),
		"none":      {MinVersion: tls.VersionTLS13},
	} {
		t.Run(name, func(t *testing.T) {
			compare(t, "pop3s", func(t *testing.T, listener, user string) (string, time.Duration) {
				c := &attempt{client: s.showing(t, d, listener, config)}
				c.send("AUTH EXTERNAL "+base64Of(user), asItIs)
				return c.end()
			}, "bob")
		})
	}
}
