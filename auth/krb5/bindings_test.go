package krb5

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"kpopd/auth"
)

// selfSigned makes a certificate with the given signature.
func selfSigned(t testing.TB, key crypto.Signer, alg x509.SignatureAlgorithm) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), SignatureAlgorithm: alg,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// tlsPeer makes a TLS connection and returns the server's view of it and the
// client's state.
func tlsPeer(t testing.TB, version uint16) (auth.Peer, tls.ConnectionState) {
	t.Helper()
	key := p256(t)
	cert := selfSigned(t, key, x509.ECDSAWithSHA256)
	a, b := net.Pipe()
	deadline := time.Now().Add(time.Minute)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	t.Cleanup(func() { a.Close(); b.Close() })
	server := tls.Server(a, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, MaxVersion: version,
	})
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	client := tls.Client(b, &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: version})
	failed := make(chan error, 1)
	go func() { failed <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	state := server.ConnectionState()
	return auth.Peer{TLS: &state, Certificate: cert, Protected: true, Tickets: true}, client.ConnectionState()
}

func TestBindingModes(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		p, client := tlsPeer(t, version)
		key, err := client.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
		if err != nil {
			t.Fatal(err)
		}
		end := sha256.Sum256(client.PeerCertificates[0].Raw)
		other, _ := tlsPeer(t, version)
		fits := map[string][]byte{
			"end point": append([]byte("tls-server-end-point:"), end[:]...),
			"exporter":  append([]byte("tls-exporter:"), key...),
		}
		if version == tls.VersionTLS12 {
			fits["unique"] = append([]byte("tls-unique:"), client.TLSUnique...)
		}
		for name, data := range fits {
			sent := hashBindings(data)
			for _, mode := range []BindingMode{BindingNone, BindingAllow, BindingRequire} {
				wantReason(t, fmt.Sprintf("%x, %s, mode %d", version, name, mode), mode.check(sent, p), "")
			}
			for _, peer := range []auth.Peer{other, {Tickets: true}} {
				wantReason(t, name+" none", BindingNone.check(sent, peer), "")
				wantReason(t, name+" allow", BindingAllow.check(sent, peer), "channel-binding-mismatch")
				wantReason(t, name+" require", BindingRequire.check(sent, peer), "channel-binding-mismatch")
			}
		}
		none := [16]byte{}
		wantReason(t, "without, none", BindingNone.check(none, p), "")
		wantReason(t, "without, allow", BindingAllow.check(none, p), "")
		wantReason(t, "without, require", BindingRequire.check(none, p), "channel-binding-missing")
	}
}

// wantReason checks a refusal for its reason, "" for none.
func wantReason(t testing.TB, what string, err error, reason string) {
	t.Helper()
	if got := auth.Reason(err); (err != nil || reason != "") && got != reason {
		t.Errorf("%s: error %v with reason %q, want %q", what, err, got, reason)
	}
}

// TestHashBindings compares with a value that gss_init_sec_context of MIT
// Kerberos puts into a token for application data "tls-exporter:" and 32 times
// the octet 0x5a.
func TestHashBindings(t *testing.T) {
	data := append([]byte("tls-exporter:"), make([]byte, 32)...)
	for i := range 32 {
		data[len(data)-32+i] = 0x5a
	}
	sum := hashBindings(data)
	if got := hex.EncodeToString(sum[:]); got != "1bcba403e2ce9c120db27fe62e0d7bb1" {
		t.Errorf("got %s", got)
	}
}

// endPoint is tls-server-end-point on a connection with this certificate.
func endPoint(cert *x509.Certificate) []byte {
	p := auth.Peer{TLS: &tls.ConnectionState{}, Certificate: cert}
	for _, data := range p.Bindings(auth.BindingEndPoint) {
		return data
	}
	return nil
}

func TestEndPoint(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for alg, hash := range map[x509.SignatureAlgorithm]crypto.Hash{
		x509.SHA256WithRSA:    crypto.SHA256,
		x509.SHA384WithRSA:    crypto.SHA384,
		x509.SHA512WithRSAPSS: crypto.SHA512,
		x509.ECDSAWithSHA384:  crypto.SHA384,
		x509.PureEd25519:      0,
	} {
		var key crypto.Signer = rsaKey
		switch alg {
		case x509.ECDSAWithSHA384:
			key = p256(t)
		case x509.PureEd25519:
			key = edKey
		}
		cert := selfSigned(t, key, alg)
		var want []byte
		switch hash {
		case crypto.SHA256:
			sum := sha256.Sum256(cert.Raw)
			want = sum[:]
		case crypto.SHA384:
			sum := sha512.Sum384(cert.Raw)
			want = sum[:]
		case crypto.SHA512:
			sum := sha512.Sum512(cert.Raw)
			want = sum[:]
		}
		if got := endPoint(cert); string(got) != string(want) {
			t.Errorf("%v: %x, want %x", alg, got, want)
		}
	}
	// RFC 5929 §4.1: SHA-256 in place of SHA-1.
	old := &x509.Certificate{Raw: []byte("der"), SignatureAlgorithm: x509.SHA1WithRSA}
	if want := sha256.Sum256(old.Raw); string(endPoint(old)) != string(want[:]) {
		t.Errorf("SHA-1: %x", endPoint(old))
	}
	if endPoint(nil) != nil {
		t.Error("without a certificate there is an end point")
	}
}

func TestParseBindingMode(t *testing.T) {
	for name, want := range map[string]BindingMode{"none": BindingNone, "allow": BindingAllow, "require": BindingRequire} {
		if got, err := ParseBindingMode(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ParseBindingMode("off"); err == nil {
		t.Error("off is a mode")
	}
}
