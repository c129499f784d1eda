package clientcert

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxSigners bounds what a list remembers of who signed it.
const maxSigners = 64

// A list is one certificate revocation list.
type list struct {
	issuer      string
	rawIssuer   []byte
	from, until time.Time
	serials     map[string]struct{} // big-endian

	signed *x509.RevocationList // without its entries

	mu      sync.Mutex
	signers map[[sha256.Size]byte]bool // by certificate: signed the list
}

// parseLists parses the lists in a file: one in DER, or any number in PEM.
func parseLists(data []byte) ([]*list, error) {
	if len(data) > 0 && data[0] == 0x30 { // a SEQUENCE; no PEM begins with '0'
		l, err := parseList(data)
		if err != nil {
			return nil, err
		}
		return []*list{l}, nil
	}
	var all []*list
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "X509 CRL" {
			return nil, fmt.Errorf("holds a %q, not a certificate revocation list", block.Type)
		}
		l, err := parseList(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	if len(all) == 0 {
		return nil, errors.New("holds no certificate revocation list")
	}
	return all, nil
}

func parseList(der []byte) (*list, error) {
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, err
	}
	if err := whole(parsed); err != nil {
		return nil, fmt.Errorf("the list of %s: %w", parsed.Issuer, err)
	}
	l := &list{
		issuer: parsed.Issuer.String(), rawIssuer: parsed.RawIssuer,
		from: parsed.ThisUpdate, until: parsed.NextUpdate,
		serials: make(map[string]struct{}, len(parsed.RevokedCertificateEntries)),
		signed: &x509.RevocationList{RawTBSRevocationList: parsed.RawTBSRevocationList,
			Signature: parsed.Signature, SignatureAlgorithm: parsed.SignatureAlgorithm},
		signers: map[[sha256.Size]byte]bool{},
	}
	for _, e := range parsed.RevokedCertificateEntries {
		l.serials[string(e.SerialNumber.Bytes())] = struct{}{}
	}
	return l, nil
}

// whole refuses a list that does not tell of all that its issuer has revoked. A
// critical extension says so: delta lists and those for some certificates only
// have one (RFC 5280 §5.2.4, §5.2.5), and entries of other issuers (§5.3.3).
func whole(l *x509.RevocationList) error {
	switch {
	case hasCritical(l.Extensions):
		return errors.New("has a critical extension, as delta lists and lists for some certificates only do")
	case l.NextUpdate.IsZero(): // RFC 5280 §5.1.2.5
		return errors.New("does not say when the next one comes")
	case l.SignatureAlgorithm == x509.SHA1WithRSA || l.SignatureAlgorithm == x509.ECDSAWithSHA1:
		return errors.New("is signed with SHA-1")
	}
	for _, e := range l.RevokedCertificateEntries {
		if hasCritical(e.Extensions) {
			return errors.New("has an entry with a critical extension, as lists of other issuers do")
		}
	}
	return nil
}

func hasCritical(all []pkix.Extension) bool {
	for _, e := range all {
		if e.Critical {
			return true
		}
	}
	return false
}

// isBy reports whether issuer, which may sign lists, signed this one.
func (l *list) isBy(issuer *x509.Certificate) bool {
	if !bytes.Equal(l.rawIssuer, issuer.RawSubject) {
		return false
	}
	key := sha256.Sum256(issuer.Raw)
	l.mu.Lock()
	defer l.mu.Unlock()
	is, known := l.signers[key]
	if !known {
		is = l.signed.CheckSignatureFrom(issuer) == nil
		if len(l.signers) >= maxSigners {
			clear(l.signers)
		}
		l.signers[key] = is
	}
	return is
}

func (l *list) hasBegun(now time.Time) bool { return !l.from.After(now.Add(maxSkew)) }

func (l *list) isCurrent(now time.Time) bool { return l.hasBegun(now) && now.Before(l.until) }

func (l *list) revokes(cert *x509.Certificate) bool {
	_, revoked := l.serials[string(cert.SerialNumber.Bytes())]
	return revoked
}
