package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"time"
)

// A Client is what a client's certificate says.
type Client struct {
	CN           string   // "": an empty subject
	Emails, UPNs []string // of the subjectAltName
	// SAN is the subjectAltName in DER, in the place of Emails and UPNs.
	SAN []byte
	// Edit, if it is not nil, changes the certificate before it is signed.
	Edit func(*x509.Certificate)
}

// Issue returns a certificate for a client. Behind that of an intermediate
// authority stands the authority's own.
func (ca *CA) Issue(c Client) (Certificate, error) {
	template := certificateFor(c.CN, x509.ExtKeyUsageClientAuth)
	if c.SAN == nil && len(c.Emails)+len(c.UPNs) > 0 {
		c.SAN = GeneralNames(c.Emails, c.UPNs)
	}
	if c.SAN != nil {
		template.ExtraExtensions = []pkix.Extension{{
			Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: c.SAN,
			Critical: c.CN == "", // RFC 5280 §4.1.2.6
		}}
	}
	if c.Edit != nil {
		c.Edit(template)
	}
	return ca.issue(template)
}

// GeneralNames is a subjectAltName of mail addresses and of user principal
// names.
func GeneralNames(emails, upns []string) []byte {
	var names []byte
	for _, email := range emails {
		names = append(names, tlv(0x81, []byte(email))...)
	}
	for _, upn := range upns {
		names = append(names, OtherName(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}, tlv(0x0c, []byte(upn)))...)
	}
	return tlv(0x30, names)
}

// OtherName is a GeneralName of a type, whose value is in DER.
func OtherName(id asn1.ObjectIdentifier, value []byte) []byte {
	der, err := asn1.Marshal(id)
	if err != nil {
		panic(err)
	}
	return tlv(0xa0, append(der, tlv(0xa0, value)...))
}

func tlv(tag byte, value []byte) []byte {
	class, compound := int(tag>>6), tag&0x20 != 0
	der, err := asn1.Marshal(asn1.RawValue{Class: class, Tag: int(tag & 0x1f), IsCompound: compound, Bytes: value})
	if err != nil {
		panic(err)
	}
	return der
}

// Intermediate returns an authority below ca.
func (ca *CA) Intermediate(name string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := *ca.cert
	template.SerialNumber, template.Subject, template.RawSubject = serial(), pkix.Name{CommonName: name}, nil
	template.SubjectKeyId, template.AuthorityKeyId = nil, nil
	cert, err := ca.sign(&template, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	below := &CA{PEM: cert, key: key, chain: append(cert[:len(cert):len(cert)], ca.chain...)}
	below.cert, err = parseCertificate(cert)
	return below, err
}

// Revoked is what a certificate revocation list says. Zero times: an hour ago,
// in a day.
type Revoked struct {
	Certs       [][]byte // PEM
	From, Until time.Time
	Extra       []pkix.Extension
}

// CRL returns a certificate revocation list of ca, PEM.
func (ca *CA) CRL(r Revoked) ([]byte, error) {
	list := &x509.RevocationList{Number: serial(), ThisUpdate: r.From, NextUpdate: r.Until, ExtraExtensions: r.Extra}
	if list.ThisUpdate.IsZero() {
		list.ThisUpdate = time.Now().Add(-time.Hour)
	}
	if list.NextUpdate.IsZero() {
		list.NextUpdate = time.Now().Add(24 * time.Hour)
	}
	for _, text := range r.Certs {
		cert, err := parseCertificate(text)
		if err != nil {
			return nil, err
		}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: list.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key)
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), err
}

// parseCertificate parses the first certificate of a PEM text.
func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

// Chain returns the certificates, the client's own first.
func (c Certificate) Chain(t TB) []*x509.Certificate {
	t.Helper()
	var all []*x509.Certificate
	for _, der := range c.Pair(t).Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatalf("testenv: %v", err)
		}
		all = append(all, cert)
	}
	return all
}

// Pair returns the certificate for crypto/tls.
func (c Certificate) Pair(t TB) tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return pair
}
