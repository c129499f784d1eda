package clientcert_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"

	"github.com/emersion/go-sasl"

	"kpopd/auth"
	"kpopd/auth/authtest"
	"kpopd/auth/clientcert"
	"kpopd/testenv"
)

func peer(shown []*x509.Certificate) auth.Peer {
	return auth.Peer{Protected: true, Tickets: true, TLS: &tls.ConnectionState{PeerCertificates: shown}}
}

// ticket is a KPOP session of alice.
func ticket() *auth.Identity {
	return &auth.Identity{User: "alice", Mechanism: "KPOP", Source: "kerberos",
		Attrs: map[string]string{"principal": "alice@EXAMPLE.TEST", "realm": "EXAMPLE.TEST"}}
}

func TestExternalConforms(t *testing.T) {
	ca := newCA(t)
	users := &clientcert.Users{Source: "certificate test", From: []string{"cn"}, Authorities: load(t, nil, ca.PEM)}
	authtest.TestMechanism(t, authtest.Mechanism{
		Mechanism: auth.External{Auth: auth.Chain{users}},
		Peer:      peer(chain(t, ca, testenv.Client{CN: "alice"})),
		Forbidden: []auth.Peer{{}, {Protected: true, Tickets: true}, peer(nil), {Proven: ticket()}},
		Client:    func(testing.TB) sasl.Client { return sasl.NewExternalClient("bob") },
		Want:      auth.Identity{User: "alice", Authzid: "bob"},
		External:  true,
		Rounds:    1000,
	})
}

func TestExternalAdvertised(t *testing.T) {
	ca := newCA(t)
	m := auth.Mechanisms{auth.External{Auth: auth.Chain{}}}
	good := peer(chain(t, ca, testenv.Client{CN: "alice"}))
	bad, outage, kpop, clear := good, good, peer(nil), peer(nil)
	bad.ClientError = auth.Refuse(auth.ErrCredentials, "certificate-revoked")
	outage.ClientError = auth.Refuse(auth.ErrUnavailable, "crl-stale")
	kpop.Proven, kpop.ClientError = ticket(), bad.ClientError
	clear.Proven, clear.Tickets = ticket(), false
	for _, c := range []struct {
		name         string
		peer         auth.Peer
		told, usable bool
	}{
		{"good", good, true, true},
		{"bad", bad, false, true},
		{"outage", outage, true, true},
		{"none", peer(nil), false, false},
		{"ticket and a bad certificate", kpop, true, true},
		{"ticket where it may not be used", clear, false, false},
	} {
		if told := len(m.Usable(c.peer)) == 1; told != c.told {
			t.Errorf("%s: advertised %v", c.name, told)
		}
		if usable := m.Find("EXTERNAL", c.peer) != nil; usable != c.usable {
			t.Errorf("%s: usable %v", c.name, usable)
		}
	}
	if (auth.External{}).Usable(good) {
		t.Error("a certificate is taken where nobody checks it")
	}
}

// TestExternalLongName: whoever shows a certificate with a very long name does
// not have it written out.
func TestExternalLongName(t *testing.T) {
	long := edited(func(c *x509.Certificate) { c.Subject.Organization = slices.Repeat([]string{"o"}, 1000) })
	x := auth.External{Auth: auth.Chain{}}.Start(t.Context(), peer(chain(t, newCA(t), long)))
	if claimed := x.(auth.Claimant).Claimed(); claimed != "" {
		t.Errorf("a name of %d octets", len(claimed))
	}
}

// TestExternalTicket: in a KPOP session the ticket is the proof, whatever
// certificate there is beside it.
func TestExternalTicket(t *testing.T) {
	ca := newCA(t)
	users := &clientcert.Users{Source: "certificate test", From: []string{"cn"}, Authorities: load(t, nil, ca.PEM)}
	p := peer(chain(t, ca, testenv.Client{CN: "bob"}))
	p.Proven = ticket()
	for _, m := range []auth.External{{}, {Auth: auth.Chain{users}}} {
		for _, authzid := range []string{"", "alice", "carol"} {
			x := m.Start(t.Context(), p)
			if _, done, err := x.Next([]byte(authzid)); !done || err != nil {
				t.Fatalf("done %v, error %v", done, err)
			}
			id := x.Identity()
			if id.User != "alice" || id.Authzid != authzid || id.Mechanism != "KPOP" || id.Attrs["principal"] != "alice@EXAMPLE.TEST" {
				t.Errorf("identity %+v", id)
			}
		}
	}
	if p.Proven.Authzid != "" {
		t.Error("what one exchange asked for is left in the session")
	}
}

func TestExternalRefused(t *testing.T) {
	ca := newCA(t)
	users := &clientcert.Users{Source: "certificate test", From: []string{"upn"}, Authorities: load(t, nil, ca.PEM)}
	alice := testenv.Client{CN: "alice", UPNs: []string{"alice@corp"}}
	for _, c := range []struct {
		name, response, reason string
		peer                   auth.Peer
	}{
		{"an authzid with NUL", "ali\x00ce", "malformed", peer(chain(t, ca, alice))},
		{"an authzid that is no UTF-8", "\xff", "malformed", peer(chain(t, ca, alice))},
		{"another authority", "", "certificate-untrusted", peer(chain(t, newCA(t), alice))},
		{"no user", "alice@corp", "certificate-without-user", peer(chain(t, ca, testenv.Client{CN: "alice@corp"}))},
		{"no certificate", "alice", "no-certificate", peer(nil)},
		{"no TLS", "alice", "no-certificate", auth.Peer{}},
	} {
		x := auth.External{Auth: auth.Chain{users}}.Start(t.Context(), c.peer)
		_, done, err := x.Next([]byte(c.response))
		if done || !errors.Is(err, auth.ErrCredentials) || errors.Is(err, auth.ErrUnknown) || auth.Reason(err) != c.reason {
			t.Errorf("%s: done %v, error %v, want %q", c.name, done, err, c.reason)
		}
		if id := x.Identity(); id.User != "" {
			t.Errorf("%s: proves %q", c.name, id.User)
		}
		if claimed := x.(auth.Claimant).Claimed(); c.name == "no user" && claimed != "CN=alice@corp" {
			t.Errorf("claimed %q", claimed)
		}
	}
}

// TestExternalThrottled: a certificate that is refused again and again is held
// back as a password is; another, from the same address, is not.
func TestExternalThrottled(t *testing.T) {
	ca := newCA(t)
	users := &clientcert.Users{Source: "certificate test", From: []string{"cn"}, Authorities: load(t, nil, ca.PEM)}
	m := auth.External{Auth: &auth.Throttle{Auth: auth.Chain{users}, FailuresPerMinute: 2}}
	try := func(p auth.Peer) string {
		_, _, err := m.Start(t.Context(), p).Next([]byte{})
		if err == nil {
			return ""
		}
		return auth.Reason(err)
	}
	bad, good := peer(chain(t, newCA(t), testenv.Client{CN: "alice"})), peer(chain(t, ca, testenv.Client{CN: "alice"}))
	for _, want := range []string{"certificate-untrusted", "certificate-untrusted", "throttled"} {
		if got := try(bad); got != want {
			t.Errorf("refused for %q, want %q", got, want)
		}
	}
	if got := try(good); got != "" {
		t.Errorf("another certificate is refused for %q", got)
	}
}
