package config

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// An LDAP is an authenticator "ldap".
type LDAP struct {
	// URLs are the servers, ldaps://, ldap:// or ldapi://, in the order of
	// preference. Required, or Discover is.
	URLs []string
	// Discover is the domain, ldaps:// or ldap://, whose servers DNS names; Site
	// is the site whose servers come first. Default: both "".
	Discover, Site string
	CAFile         string // default: "", the system's authorities
	// StartTLS protects ldap:// connections before anything else crosses them.
	// Default: true.
	StartTLS bool
	// BindDN is who looks entries up; its password is in BindPasswordFile.
	// Default: both "", an anonymous search.
	BindDN, BindPasswordFile string
	// BindKeytab has the keys of BindPrincipal, who looks entries up by a ticket
	// instead. Default: both "". Without a BindPrincipal it is the only one of the
	// keytab. Krb5Conf says where its KDCs are. Default: "", /etc/krb5.conf.
	BindKeytab, BindPrincipal, Krb5Conf string
	BaseDN                              string // required
	// Filter finds the entry of a login name; it uses user. Use
	// [Expression.EvalEscaped]. Default: nil, BindAs says who binds; one of the
	// two is required.
	Filter *Expression
	// BindAs are names to bind as without a search: DNs, user principal names
	// or DOMAIN\user. Each uses user. Default: none.
	BindAs []*Expression
	// LookupFilter finds the entry of somebody who was proven otherwise, by a
	// ticket, token or certificate, or by a bind with a name that is no DN.
	// Default: nil, there is no such lookup.
	LookupFilter *Expression
	// Attributes of the entry reach expressions as attr.NAME. Default: none.
	Attributes []string
	// SecretAttribute holds secrets for APOP, CRAM-MD5 and SCRAM, in the notation
	// of the file of users or that of RFC 5803. It never reaches an expression.
	// Default: "", there are none.
	SecretAttribute string
	// SCRAMIterations is the iteration count that most keys for SCRAM in there
	// have, and those that are made of a {PLAIN} secret get. Default: 16384.
	SCRAMIterations int
	// NestedGroups adds the groups that the entry's groups are in, with one
	// search in Active Directory, else one for each group. Default: false.
	NestedGroups bool
	// DisabledAttribute is TRUE in an entry that may not log in. Default: "",
	// only what Active Directory, 389 Directory Server and OpenLDAP have for it.
	DisabledAttribute string
	// Timeout bounds each search and each bind at one server. Default: 5s.
	Timeout time.Duration
	// PoolSize is how many connections for searches, and how many for binds,
	// each server may have. Default: 8.
	PoolSize int
	// Cache is how long a right password is remembered, and CacheNegative how
	// long a wrong one, as a keyed hash. Default: 30s and 1m.
	Cache, CacheNegative time.Duration
	// LockoutThreshold is the number of failed binds at which the directory
	// locks an account, and LockoutWindow the time within which it counts
	// them; fewer reach it from here. 0: it never locks. Default: 10 and 15m.
	LockoutThreshold int
	LockoutWindow    time.Duration
}

func (a *Authenticator) readLDAP(d *decoder, b *hclsyntax.Block) {
	l := &LDAP{StartTLS: true, Timeout: 5 * time.Second, PoolSize: 8, Cache: 30 * time.Second, CacheNegative: time.Minute,
		LockoutThreshold: 10, LockoutWindow: 15 * time.Minute, SCRAMIterations: 16384}
	server := func(dst *string) setter { return link(dst, "ldaps", "ldap", "ldapi") }
	a.Place = d.block(b, schema{what: `authenticator "ldap"`, fields: []field{
		may("urls", value(list(&l.URLs, server))),
		may("discover", value(domain(&l.Discover))),
		may("site", value(site(&l.Site))),
		may("ca_file", value(path(&l.CAFile))),
		may("starttls", value(boolean(&l.StartTLS))),
		may("bind_dn", value(str(&l.BindDN))),
		may("bind_password_file", value(path(&l.BindPasswordFile))),
		may("bind_keytab", value(path(&l.BindKeytab))),
		may("bind_principal", value(str(&l.BindPrincipal))),
		may("krb5_conf", value(path(&l.Krb5Conf))),
		must("base_dn", value(str(&l.BaseDN))),
		may("filter", filter(&l.Filter, filterVariables, "user")),
		may("bind_as", bindNames(&l.BindAs)),
		may("lookup_filter", filter(&l.LookupFilter, lookupVariables, "user", "principal")),
		may("attributes", value(list(&l.Attributes, attribute))),
		may("secret_attribute", value(attribute(&l.SecretAttribute))),
		may("scram_iterations", value(number(&l.SCRAMIterations, 4096, 2_000_000))), // 4096: RFC 7677 §4
		may("nested_groups", value(boolean(&l.NestedGroups))),
		may("disabled_attribute", value(attribute(&l.DisabledAttribute))),
		may("timeout", value(duration(&l.Timeout, time.Second, time.Minute, ""))),
		may("pool_size", value(number(&l.PoolSize, 1, 256))),
		may("cache", value(duration(&l.Cache, 0, time.Hour, ""))),
		may("cache_negative", value(duration(&l.CacheNegative, 0, time.Hour, ""))),
		may("lockout_threshold", value(number(&l.LockoutThreshold, 0, 1000))),
		may("lockout_window", value(duration(&l.LockoutWindow, time.Minute, 24*time.Hour, ""))),
	}})
	a.checkLDAP(d, l)
	a.LDAP = l
}

// checkLDAP checks what several arguments say together.
func (a *Authenticator) checkLDAP(d *decoder, l *LDAP) {
	// RFC 4513 §5.1.2: a bind with a name and no password proves nothing, yet
	// succeeds.
	if (l.BindDN == "") != (l.BindPasswordFile == "") && a.has("bind_dn") != a.has("bind_password_file") {
		d.errorf(a.Header, "Incomplete bind", "bind_dn and bind_password_file are needed together, or neither of them.")
	}
	a.checkTickets(d, l)
	a.checkServers(d, l)
	switch {
	case !a.has("filter") && !a.has("bind_as"):
		d.errorf(a.Header, "Missing argument", `The argument "filter" is required in authenticator "ldap", or "bind_as" instead of it.`)
	case a.has("filter") && a.has("bind_as"):
		d.errorf(a.At("bind_as"), "Two ways to bind", "The entry that filter finds says who binds. Leave one of the two out.")
	}
	a.checkSecrets(d, l)
	a.checkThreshold(d, l.LockoutThreshold)
}

// checkTickets checks how the service binds by ticket.
func (a *Authenticator) checkTickets(d *decoder, l *LDAP) {
	if !a.has("bind_keytab") {
		for _, name := range []string{"bind_principal", "krb5_conf"} {
			if a.has(name) {
				d.errorf(a.At(name), "Argument without effect", "%s needs a bind_keytab.", name)
			}
		}
		return
	}
	if a.has("bind_dn") || a.has("bind_password_file") {
		d.errorf(a.At("bind_keytab"), "Two ways to bind", "The service binds by bind_keytab, or by bind_dn and bind_password_file.")
	}
	for _, u := range l.URLs {
		if strings.HasPrefix(u, "ldapi://") {
			d.errorf(a.At("bind_keytab"), "No name to bind to", "A ticket is for a host, which a socket (%s) does not have.", u)
		}
	}
}

// checkSecrets checks what is said of the attribute with secrets.
func (a *Authenticator) checkSecrets(d *decoder, l *LDAP) {
	if !a.has("secret_attribute") {
		if a.has("scram_iterations") {
			d.errorf(a.At("scram_iterations"), "Argument without effect", "There are no keys for SCRAM without a secret_attribute.")
		}
		return
	}
	at := a.At("secret_attribute")
	if !a.has("bind_dn") && !a.has("bind_keytab") {
		d.errorf(at, "Secrets for everybody", "What an anonymous search finds, everybody can read: secret_attribute needs bind_dn or bind_keytab.")
	}
	if a.has("bind_as") && !a.has("lookup_filter") {
		d.errorf(at, "No way to the secrets", "With bind_as, lookup_filter finds the entry with the secrets.")
	}
	if slices.ContainsFunc(l.Attributes, func(name string) bool { return sameAttribute(name, l.SecretAttribute) }) {
		d.errorf(a.At("attributes"), `Invalid value for "attributes"`, "Secrets reach no expression: %s is the secret_attribute.", l.SecretAttribute)
	}
}

// sameAttribute reports whether two names are of one attribute, be it with
// options (RFC 4512 §2.5).
func sameAttribute(a, b string) bool {
	a, _, _ = strings.Cut(a, ";")
	b, _, _ = strings.Cut(b, ";")
	return strings.EqualFold(a, b)
}

// checkServers checks what the arguments say of where the servers are.
func (a *Authenticator) checkServers(d *decoder, l *LDAP) {
	switch {
	case !a.has("urls") && !a.has("discover"):
		d.errorf(a.Header, "Missing argument", `The argument "urls" is required in authenticator "ldap", or "discover" instead of it.`)
	case a.has("urls") && a.has("discover"):
		d.errorf(a.At("discover"), "Two lists of servers", "DNS names the servers of discover. Leave one of the two out.")
	case a.has("site") && !a.has("discover"):
		d.errorf(a.At("site"), "Site without a domain", "A site is one of the domain that discover names.")
	case strings.HasPrefix(l.Discover, "ldap://") && !l.StartTLS:
		d.errorf(a.At("starttls"), "Passwords in the clear", "They would go to whatever host an answer of DNS names.")
	}
}

// domain takes a domain as a URL that says how to speak to its servers.
func domain(dst *string) setter {
	var u string
	check := link(&u, "ldaps", "ldap")
	return text(func(v val, s string) *complaint {
		_, host, _ := strings.Cut(s, "://")
		if c := check(v); c != nil {
			return c
		}
		if !isHostname(host) {
			return complain("It must be ldaps:// or ldap:// and the name of a domain.")
		}
		*dst = u
		return nil
	})
}

// site takes the name of a site, which is one label of a name in DNS.
func site(dst *string) setter {
	return text(func(_ val, s string) *complaint {
		if !isHostname(s) || strings.Contains(s, ".") {
			return complain("It must be the name of a site.")
		}
		*dst = s
		return nil
	})
}

// bindNames takes a list of templates, each of a name to bind as.
func bindNames(dst *[]*Expression) func(*decoder, *hclsyntax.Attribute) {
	return func(d *decoder, a *hclsyntax.Attribute) {
		list, ok := a.Expr.(*hclsyntax.TupleConsExpr)
		if !ok || len(list.Exprs) == 0 {
			d.errorf(a.Expr.Range(), `Invalid value for "bind_as"`, "It must be a list of names in quotes.")
			return
		}
		for _, expr := range list.Exprs {
			var e *Expression
			one := *a
			one.Expr = expr
			expression(&e, bindVariables, isText)(d, &one)
			switch {
			case e == nil:
				continue
			case len(e.names) == 0:
				d.errorf(expr.Range(), "Name for everybody", "The name must use ${user}.")
				continue
			case !isBindName(expr):
				d.errorf(expr.Range(), "Not a name to bind as", `Write a DN, "${user}@corp.example" or "CORP\\${user}" in quotes: Active Directory takes a bare name for a display name, which people choose themselves.`)
				continue
			}
			*dst = append(*dst, e)
		}
	}
}

// reserved are the attributes that a ticket or a certificate gives.
var reserved = []string{"principal", "realm", "subject", "issuer", "serial", "fingerprint", "sid", "pac_upn", "pac_account"}

func isReserved(name string) bool {
	return slices.ContainsFunc(reserved, func(r string) bool { return strings.EqualFold(r, name) })
}

// attribute takes the name of an attribute (RFC 4512 §2.5), and none that a
// ticket or a certificate has already given its meaning.
func attribute(dst *string) setter {
	return text(func(v val, s string) *complaint {
		const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.;"
		switch {
		case s == "" || strings.Trim(s, letters) != "":
			return complain("It must be the name of an attribute.")
		case isReserved(s):
			return complain("What is called so comes from a ticket or a client certificate.")
		}
		*dst = s
		return nil
	})
}

// isBindName reports whether a template says what kind of name it makes: it
// has the sign of a DN, a UPN or a domain's account written out.
func isBindName(expr hclsyntax.Expression) bool {
	t, ok := expr.(*hclsyntax.TemplateExpr)
	if !ok {
		return false
	}
	for _, part := range t.Parts {
		lit, ok := part.(*hclsyntax.LiteralValueExpr)
		if ok && lit.Val.Type() == cty.String && strings.ContainsAny(lit.Val.AsString(), `=@\`) {
			return true
		}
	}
	return false
}
