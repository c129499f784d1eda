package clientcert

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"

	"kpopd/auth"
)

// Users is an [auth.Authenticator] of certificates.
type Users struct {
	// Source names the authenticator in identities.
	Source string
	// From are the fields that may hold the user's name: the first that a
	// certificate has decides. One that has none of them is nobody's: no other
	// name takes its place.
	From        []string
	Authorities *Authorities
}

var _ auth.Authenticator = (*Users)(nil)

// Authenticate implements [auth.Authenticator] for [auth.Certificate].
func (u *Users) Authenticate(ctx context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	shown, ok := c.(auth.Certificate)
	switch {
	case !ok:
		return auth.Identity{}, auth.ErrUnknown
	case ctx.Err() != nil:
		return auth.Identity{}, auth.Refuse(fmt.Errorf("%w: %w", auth.ErrUnavailable, ctx.Err()), "canceled")
	}
	if err := u.Authorities.Verify(shown.Chain, time.Now()); err != nil {
		return auth.Identity{}, err
	}
	cert := shown.Chain[0]
	user, err := u.userOf(cert)
	if err != nil {
		return auth.Identity{}, err
	}
	return auth.Identity{User: user, Source: u.Source, Expires: cert.NotAfter, Attrs: map[string]string{
		"subject":     distinguished(cert.RawSubject, cert.Subject),
		"issuer":      distinguished(cert.RawIssuer, cert.Issuer),
		"serial":      cert.SerialNumber.Text(16),
		"fingerprint": auth.Fingerprint(cert),
	}}, nil
}

// userOf returns the user's name.
func (u *Users) userOf(cert *x509.Certificate) (string, error) {
	for _, field := range u.From {
		all, err := names(cert, field)
		if err != nil {
			return "", refuse(field, err.Error(), "certificate-malformed")
		}
		if len(all) == 0 {
			continue
		}
		for _, name := range all {
			if name != all[0] {
				return "", refuse(field, "several names", "certificate-ambiguous-user")
			}
		}
		return all[0], checkName(field, all[0])
	}
	return "", auth.Refuse(auth.ErrUnknown, "certificate-without-user")
}

// checkName refuses what no password's user could be called, and what SASLprep
// (RFC 4013) forbids or changes: whoever compares names by another form must
// not find somebody else.
func checkName(field, name string) error {
	if prepared, ok := auth.Prepare(name); !ok || prepared != name || !auth.IsName(name) {
		return refuse(field, "not a name", "certificate-unacceptable-name")
	}
	return nil
}

func refuse(field, text, reason string) error {
	return auth.Refuse(fmt.Errorf("%w: %s of the certificate: %s", auth.ErrCredentials, field, text), reason)
}

// distinguished returns a name as RFC 4514 writes it: in the order and with all
// the attributes of the certificate, which parsed has not if package asn1 is
// stricter than x509 was.
func distinguished(der []byte, parsed pkix.Name) string {
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(der, &name); err != nil {
		return parsed.String()
	}
	return name.String()
}
