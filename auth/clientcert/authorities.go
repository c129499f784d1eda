package clientcert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"kpopd/auth"
)

const (
	maxAuthorities = 1 << 20 // octets of their file
	maxShown       = 10      // certificates that a client may show
)

// Authorities are those whose certificates prove clients. They are safe for
// concurrent use.
type Authorities struct {
	certs         []*x509.Certificate
	anchors       *x509.CertPool
	intermediates *x509.CertPool
	lists         lists // of revoked certificates
}

// LoadAuthorities reads the authorities' certificates, PEM and nothing but
// certificates. One whose issuer is among them is an intermediate, which itself
// may be revoked; all others are trusted as they are.
func LoadAuthorities(path string) (*Authorities, error) {
	data, _, err := auth.ReadFile(path, maxAuthorities, 0)
	if err != nil {
		return nil, err
	}
	a := &Authorities{anchors: x509.NewCertPool(), intermediates: x509.NewCertPool()}
	for len(bytes.TrimSpace(data)) > 0 {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: holds a %s besides certificates", path, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		a.certs = append(a.certs, cert)
	}
	if len(a.certs) == 0 {
		return nil, fmt.Errorf("%s: holds no PEM certificate", path)
	}
	for _, cert := range a.certs {
		a.poolFor(cert).AddCert(cert)
	}
	return a, nil
}

// poolFor returns where cert belongs.
func (a *Authorities) poolFor(cert *x509.Certificate) *x509.CertPool {
	isSelf := bytes.Equal(cert.RawSubject, cert.RawIssuer)
	if !isSelf && len(a.named(cert.RawIssuer)) > 0 {
		return a.intermediates
	}
	return a.anchors
}

// named returns the authorities with this name.
func (a *Authorities) named(rawSubject []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for _, cert := range a.certs {
		if bytes.Equal(cert.RawSubject, rawSubject) {
			all = append(all, cert)
		}
	}
	return all
}

// All returns the authorities' certificates.
func (a *Authorities) All() []*x509.Certificate { return slices.Clone(a.certs) }

// Verify checks what a client showed, its own certificate first, for use by a
// client (RFC 5280 §4.2.1.12) at a time. An error wraps [auth.ErrCredentials],
// or [auth.ErrUnavailable] where nobody can say whether a certificate has been
// revoked.
func (a *Authorities) Verify(shown []*x509.Certificate, now time.Time) error {
	switch {
	case len(shown) == 0:
		return auth.Refuse(auth.ErrCredentials, "no-certificate")
	case len(shown) > maxShown:
		return auth.Refuse(auth.ErrCredentials, "certificate-chain-too-long")
	}
	chains, err := a.chains(shown, now)
	if err != nil {
		return refusal(err, now)
	}
	return a.lists.checkAny(chains, now)
}

// chains returns the ways from a client's certificate to a trusted authority.
func (a *Authorities) chains(shown []*x509.Certificate, now time.Time) ([][]*x509.Certificate, error) {
	intermediates := a.intermediates.Clone()
	for _, cert := range shown[1:] {
		intermediates.AddCert(cert)
	}
	leaf := understood(shown[0])
	// RFC 8446 §4.4.2.2: the key must be one for signing.
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return nil, x509.CertificateInvalidError{Cert: leaf, Reason: x509.IncompatibleUsage}
	}
	return leaf.Verify(x509.VerifyOptions{
		Roots: a.anchors, Intermediates: intermediates, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// understood returns cert without the complaint of package x509 that it does
// not understand a critical subjectAltName in which there is nothing but names
// of users. Where the subject is empty it is critical (RFC 5280 §4.1.2.6).
func understood(cert *x509.Certificate) *x509.Certificate {
	if names, err := upns(cert); err != nil || len(names) == 0 {
		return cert
	}
	c := *cert
	c.UnhandledCriticalExtensions = slices.Clone(c.UnhandledCriticalExtensions)
	c.UnhandledCriticalExtensions = slices.DeleteFunc(c.UnhandledCriticalExtensions, oidSubjectAltName.Equal)
	return &c
}

// refusal is why package x509 does not find a chain. Its error repeats what the
// client wrote, and is bounded.
func refusal(err error, now time.Time) error {
	reason := "certificate-invalid"
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch invalid.Reason {
		case x509.Expired:
			reason = "certificate-expired"
			if invalid.Cert != nil && invalid.Cert.NotBefore.After(now) {
				reason = "certificate-not-yet-valid"
			}
		case x509.IncompatibleUsage:
			reason = "certificate-wrong-usage"
		}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		reason = "certificate-untrusted"
	}
	return auth.Refuse(fmt.Errorf("%w: %.300s", auth.ErrCredentials, err.Error()), reason)
}
