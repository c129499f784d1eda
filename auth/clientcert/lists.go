package clientcert

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"log/slog"
	"time"

	"kpopd/auth"
)

// maxSkew is how far ahead the clock of an authority may be.
const maxSkew = 5 * time.Minute

// lists are the files of what authorities have revoked. nil: none are asked.
type lists []*file

// LoadLists reads certificate revocation lists (RFC 5280 §5), PEM or DER, and
// from then on every certificate but a trusted authority's own must have an
// issuer with a current one; a list that ended, or is missing, lets nobody in. A
// file that changes is read again. log may be nil. It is called once, before
// anything is verified.
func (a *Authorities) LoadLists(paths []string, log *slog.Logger) error {
	for _, path := range paths {
		f := &file{path: path, check: a.checkIssuer, log: log, started: time.Now()}
		if f.log == nil {
			f.log = slog.Default()
		}
		if err := f.read(); err != nil {
			return err
		}
		a.lists = append(a.lists, f)
	}
	return nil
}

// checkIssuer refuses a list in the name of a known authority that did not
// sign it. One of an authority that only clients show is checked when it is.
func (a *Authorities) checkIssuer(l *list) error {
	issuers := a.named(l.rawIssuer)
	for _, issuer := range issuers {
		if l.isBy(issuer) {
			return nil
		}
	}
	if len(issuers) > 0 {
		return fmt.Errorf("the list of %s is not signed by it", l.issuer)
	}
	return nil
}

// Stale says of each list that is not current at a time what is wrong with it.
func (a *Authorities) Stale(now time.Time) []string {
	var all []string
	for _, f := range a.lists {
		for _, l := range f.current() {
			if !l.isCurrent(now) {
				all = append(all, fmt.Sprintf("%s: the list of %s is for %s to %s", f.path, l.issuer,
					l.from.UTC().Format(time.RFC3339), l.until.UTC().Format(time.RFC3339)))
			}
		}
	}
	return all
}

// checkAny returns nil if one of the chains has nothing in it that is revoked,
// else what is wrong with the first.
func (l lists) checkAny(chains [][]*x509.Certificate, now time.Time) error {
	if l == nil {
		return nil
	}
	var first error
	for _, chain := range chains {
		err := l.check(chain, now)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// check checks all of a chain but the authority that is trusted.
func (l lists) check(chain []*x509.Certificate, now time.Time) error {
	for i := range len(chain) - 1 {
		if err := l.status(chain[i], chain[i+1], now); err != nil {
			return err
		}
	}
	return nil
}

// status returns nil if cert is known not to be revoked by its issuer.
func (l lists) status(cert, issuer *x509.Certificate, now time.Time) error {
	newest := l.newest(issuer, now)
	switch {
	case newest == nil:
		return auth.Refuse(fmt.Errorf("%w: no list of revoked certificates of %.300s", auth.ErrUnavailable, issuer.Subject), "crl-missing")
	case newest.revokes(cert):
		return auth.Refuse(fmt.Errorf("%w: revoked by %.300s", auth.ErrCredentials, issuer.Subject), "certificate-revoked")
	case !newest.isCurrent(now):
		return auth.Refuse(fmt.Errorf("%w: the list of revoked certificates of %.300s ended on %s", auth.ErrUnavailable,
			issuer.Subject, newest.until.UTC().Format(time.RFC3339)), "crl-stale")
	}
	return nil
}

// newest returns the last list that issuer has signed, or nil. One of the
// future counts as none.
func (l lists) newest(issuer *x509.Certificate, now time.Time) *list {
	var newest *list
	for _, f := range l {
		for _, one := range f.current() {
			if !bytes.Equal(one.rawIssuer, issuer.RawSubject) || !one.hasBegun(now) || !one.isBy(issuer) {
				continue
			}
			if newest == nil || one.from.After(newest.from) {
				newest = one
			}
		}
	}
	return newest
}
