package config

import (
	"slices"
	"strings"
)

// proofAttrs are the attributes that tickets and certificates have.
var (
	ticketAttrs      = []string{"principal", "realm"}
	pacAttrs         = []string{"sid", "pac_upn", "pac_account"}
	certificateAttrs = []string{"subject", "issuer", "serial", "fingerprint"}
)

// givenAttrs are the attributes that somebody who is proven can have.
func (f *File) givenAttrs() []string {
	given := slices.Clone(ticketAttrs)
	if f.Kerberos != nil && f.Kerberos.PAC != PACIgnore {
		given = append(given, pacAttrs...)
	}
	for _, a := range f.Authenticators {
		switch {
		case a.LDAP != nil:
			given = append(given, a.LDAP.Attributes...)
		case a.OAuth != nil:
			given = append(given, a.OAuth.Claims...)
		case a.Kind == "certificate":
			given = append(given, certificateAttrs...)
		}
	}
	return given
}

// checkAttrs warns of account rules that match nobody, because they use an
// attribute that nothing gives: with the rules behind them, people get another
// maildrop than was meant.
func (d *decoder) checkAttrs(f *File) {
	given := f.givenAttrs()
	for i := range f.Accounts {
		a := &f.Accounts[i]
		for _, e := range []*Expression{a.when, a.maildrop} {
			if e == nil {
				continue
			}
			for _, name := range e.attrs {
				if !slices.Contains(given, name) {
					d.warnf(e.expr.Range(), "Attribute that nobody has", "The rule matches nobody: no authenticator reads attr.%s.%s "+
						"Add it to the attributes of a directory, or the claims of tokens. Read here: %s.",
						name, didYouMean(name, given), strings.Join(given, ", "))
				}
			}
		}
	}
}
