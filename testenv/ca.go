package testenv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A CA is a certificate authority of a test run.
type CA struct {
	// PEM is the authority's certificate.
	PEM []byte
	// RSA: what it signs for has RSA keys of 2048 bits, as the directories of
	// companies have. Otherwise they are on P-256, which are quicker to make.
	RSA bool

	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	chain []byte // what clients show behind theirs: PEM, "" for a root
}

// A Certificate is a certificate with its key, both PEM.
type Certificate struct{ Cert, Key []byte }

// NewCA makes an authority with a key of its own.
func NewCA() (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &CA{key: key}
	ca.cert = &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "kpopd test authority"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	ca.PEM, err = ca.sign(ca.cert, &key.PublicKey)
	return ca, err
}

// Server returns a certificate for a server. Without names it is for
// localhost, pop.example.test, 127.0.0.1 and ::1.
func (ca *CA) Server(names ...string) (Certificate, error) {
	if len(names) == 0 {
		names = []string{"localhost", "pop.example.test", "127.0.0.1", "::1"}
	}
	template := certificateFor(names[0], x509.ExtKeyUsageServerAuth)
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return ca.issue(template)
}

// Client returns a certificate for a client with the common name user.
func (ca *CA) Client(user string) (Certificate, error) {
	return ca.Issue(Client{CN: user})
}

// ServerConfig returns a server's TLS configuration with a certificate from
// [CA.Server].
func (ca *CA) ServerConfig(t TB, names ...string) *tls.Config {
	t.Helper()
	c, err := ca.Server(names...)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{c.Pair(t)}, MinVersion: tls.VersionTLS12}
}

// Pool returns a pool with the authority in it, for clients.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// File returns a file of the test's own with the authority's certificate.
func (ca *CA) File(t TB) string {
	t.Helper()
	return writeFile(t, "ca.pem", ca.PEM)
}

// Files returns the names of files of the test's own with the certificate,
// and with the key, which only the owner can read.
func (c Certificate) Files(t TB) (cert, key string) {
	t.Helper()
	return writeFile(t, "cert.pem", c.Cert), writeFile(t, "key.pem", c.Key)
}

// certificateFor is a certificate to be issued, for a day and an hour.
func certificateFor(cn string, usage x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: cn},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{usage},
	}
}

// issue makes a certificate for a fresh key.
func (ca *CA) issue(template *x509.Certificate) (Certificate, error) {
	key, err := ca.newKey()
	if err != nil {
		return Certificate{}, err
	}
	cert, err := ca.sign(template, key.Public())
	if err != nil {
		return Certificate{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Certificate{}, err
	}
	cert = append(cert, ca.chain...)
	return Certificate{cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}, nil
}

func (ca *CA) newKey() (crypto.Signer, error) {
	if ca.RSA {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// sign signs a certificate, the authority's own included, and returns it as
// PEM. ca.cert becomes what was signed when it is the authority's own.
func (ca *CA) sign(template *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key, ca.key)
	if err != nil {
		return nil, err
	}
	if template == ca.cert {
		if ca.cert, err = x509.ParseCertificate(der); err != nil {
			return nil, err
		}
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// serial returns a random serial number (RFC 5280 §4.1.2.2).
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// writeFile writes data to a file of the test's own that only its owner can
// read.
func writeFile(t TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return path
}
