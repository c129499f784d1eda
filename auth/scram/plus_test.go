package scram_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"kpopd/auth"
	"kpopd/auth/authtest"
	"kpopd/auth/scram"
)

// tlsPeer makes a TLS connection and returns the server's view of it and the
// client's state.
func tlsPeer(t testing.TB, version uint16) (auth.Peer, tls.ConnectionState) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	deadline := time.Now().Add(time.Minute)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	server := tls.Server(a, &tls.Config{MinVersion: version, MaxVersion: version,
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	client := tls.Client(b, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
	shaken := make(chan error, 1)
	go func() { shaken <- server.HandshakeContext(t.Context()) }()
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A server of TLS 1.3 has a ticket to send, which somebody must read.
	go func() { _, _ = client.Read(make([]byte, 1)) }()
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	state := server.ConnectionState()
	return auth.Peer{TLS: &state, Certificate: leaf, Protected: true, Tickets: true}, client.ConnectionState()
}

// clientBindings are what the client's end of a connection has to bind to.
func clientBindings(t testing.TB, state tls.ConnectionState) map[string][]byte {
	t.Helper()
	exporter, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256(state.PeerCertificates[0].Raw)
	all := map[string][]byte{"tls-exporter": exporter, "tls-server-end-point": hash[:]}
	if state.Version == tls.VersionTLS12 {
		all["tls-unique"] = state.TLSUnique
		bare, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			t.Fatal(err)
		}
		all["tls-exporter without a context"] = bare
	}
	return all
}

// binds returns alice's client, which binds to something.
func binds(kind string, data []byte) *client {
	c := alice()
	if kind == "tls-exporter without a context" { // GnuTLS
		kind = "tls-exporter"
	}
	c.flag, c.data = "p="+kind, data
	return c
}

var versions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

func newPlus() *scram.Mechanism {
	m := newMechanism()
	m.Plus = true
	return m
}

func TestPlus(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			p, state := tlsPeer(t, version)
			_, another := tlsPeer(t, version)
			others := clientBindings(t, another)
			for kind, data := range clientBindings(t, state) {
				if id, err := run(t, newPlus(), p, binds(kind, data)); err != nil || id.User != "alice" || id.Mechanism != "SCRAM-SHA-256-PLUS" {
					t.Errorf("%s: %+v, %v", kind, id, err)
				}
				for what, wrong := range map[string][]byte{
					"another connection's": others[kind], "none": nil, "more": append(data[:len(data):len(data)], 0), "less": data[:len(data)-1],
				} {
					if _, err := run(t, newPlus(), p, binds(kind, wrong)); auth.Reason(err) != "channel-binding-mismatch" {
						t.Errorf("%s, %s: %v", kind, what, err)
					}
				}
			}
		})
	}
}

// TestPlusRefuses: what is not bound, or bound in a way that the mechanism does
// not have (RFC 5802 §6).
func TestPlusRefuses(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			p, state := tlsPeer(t, version)
			unique := "channel-binding-mismatch" // of no data
			if version == tls.VersionTLS13 {
				unique = "channel-binding-unsupported"
			}
			beside := func() *scram.Mechanism {
				m := newMechanism()
				m.PlusOffered = newPlus().Usable
				return m
			}
			for _, test := range []struct {
				m            *scram.Mechanism
				flag, reason string
			}{
				{newPlus(), "n", "channel-binding-missing"},
				{newPlus(), "y", "channel-binding-downgrade"},
				{newPlus(), "p=tls-unique", unique},
				{newPlus(), "p=tls-unique-for-telnet", "channel-binding-unsupported"},
				{newPlus(), "p=TLS-EXPORTER", "channel-binding-unsupported"},
				{beside(), "n", ""},
				{beside(), "y", "channel-binding-downgrade"},
				{beside(), "p=tls-exporter", "channel-binding-unexpected"},
				{newMechanism(), "y", ""},
			} {
				c := alice()
				c.flag = test.flag
				if c.flag == "p=tls-exporter" {
					c.data = clientBindings(t, state)["tls-exporter"]
				}
				_, err := run(t, test.m, p, c)
				if err == nil != (test.reason == "") || err != nil && auth.Reason(err) != test.reason {
					t.Errorf("%s with %q: %v, want %q", test.m.Name(), test.flag, err, test.reason)
				}
			}
			// Without TLS there is no -PLUS to hide.
			c := alice()
			c.flag = "y"
			if _, err := run(t, beside(), protected(), c); err != nil {
				t.Errorf("y without TLS: %v", err)
			}
		})
	}
}

func TestPlusConforms(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			p, state := tlsPeer(t, version)
			data := clientBindings(t, state)["tls-exporter"]
			authtest.TestMechanism(t, authtest.Mechanism{
				Mechanism: newPlus(), Peer: p,
				Forbidden: []auth.Peer{{}, {Tickets: true}, protected()},
				Client:    func(testing.TB) sasl.Client { return binds("tls-exporter", data) },
				Want:      auth.Identity{User: "alice"},
			})
		})
	}
}

// TestNoBinding: a certificate signed by Ed25519 has no tls-server-end-point
// (RFC 5929 §4.1), and the others remain.
func TestNoBinding(t *testing.T) {
	p, _ := tlsPeer(t, tls.VersionTLS12)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	p.Certificate, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if b := p.Bindings(auth.BindingEndPoint); b != nil {
		t.Errorf("Ed25519 has an end point: %x", b)
	}
	if !newPlus().Usable(p) {
		t.Error("-PLUS is not usable, though the connection can be bound to")
	}
}
