package config

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// An Authenticator is one link of the chain. Exactly one of the pointers, that
// of its kind, is not nil.
type Authenticator struct {
	Place

	Kind string // "file", "ldap", "kerberos", "oauth" or "certificate"
	Name string // unique among those of its kind

	UserFile    *UserFile
	LDAP        *LDAP
	Kerberos    *KerberosUsers
	OAuth       *OAuth
	Certificate *CertificateUser
}

// A UserFile is an authenticator "file".
type UserFile struct {
	Path string // Dovecot passwd-file lines, user:{SCHEME}hash. Required
	// Cache is how long a right password is remembered, as a keyed hash, so that
	// one that is slow by design is not computed at each login. Default: 1h.
	Cache time.Duration
}

// A CertificateUser is an authenticator "certificate".
type CertificateUser struct {
	// UserFrom are the fields that may hold the user's name, "upn", "email"
	// and "cn", tried in this order. Default: all three, in this order.
	UserFrom []string
}

func (f *File) readAuthenticator(d *decoder, b *hclsyntax.Block) {
	kinds := map[string]func(*Authenticator, *decoder, *hclsyntax.Block){
		"file": (*Authenticator).readFile, "ldap": (*Authenticator).readLDAP, "kerberos": (*Authenticator).readKerberosUsers,
		"oauth": (*Authenticator).readOAuth, "certificate": (*Authenticator).readCertificate,
	}
	a := Authenticator{Kind: b.Labels[0], Name: b.Labels[1]}
	read, ok := kinds[a.Kind]
	if !ok {
		names := []string{"file", "ldap", "kerberos", "oauth", "certificate"}
		d.errorf(b.LabelRanges[0], "Unsupported authenticator", "%q is not one of %s.%s",
			a.Kind, oneOfThese(names), didYouMean(a.Kind, names))
		return
	}
	read(&a, d, b)
	f.Authenticators = append(f.Authenticators, a)
}

func (a *Authenticator) readFile(d *decoder, b *hclsyntax.Block) {
	u := &UserFile{Cache: time.Hour}
	a.Place = d.block(b, schema{what: `authenticator "file"`, fields: []field{
		must("path", value(path(&u.Path))),
		may("cache", value(duration(&u.Cache, 0, 24*time.Hour, ""))),
	}})
	a.UserFile = u
}

func (a *Authenticator) readCertificate(d *decoder, b *hclsyntax.Block) {
	names := []string{"upn", "email", "cn"}
	c := &CertificateUser{UserFrom: slices.Clone(names)}
	name := func(dst *string) setter { return oneOf(dst, names...) }
	a.Place = d.block(b, schema{what: `authenticator "certificate"`, fields: []field{
		may("user_from", value(list(&c.UserFrom, name))),
	}})
	a.Certificate = c
}

// link takes a URL with one of these schemes, and with a host unless it is of
// a Unix socket. A password in it would end up in logs.
func link(dst *string, schemes ...string) setter {
	return text(func(v val, s string) *complaint {
		if path, ok := strings.CutPrefix(s, "ldapi://"); ok && slices.Contains(schemes, "ldapi") {
			return socketLink(dst, s, path)
		}
		u, err := url.Parse(s)
		switch {
		case err != nil || !slices.Contains(schemes, u.Scheme):
			return complain("It must be a URL that begins with %s://.", strings.Join(schemes, ":// or "))
		case u.User != nil:
			return complain("A URL here holds no user name or password.")
		case u.Hostname() == "":
			return complain("The URL has no host.")
		}
		*dst = s
		return nil
	})
}

// socketLink takes the URL of a Unix socket, whose path is where others have a
// host, with %2F for each slash. Package url knows no such host.
func socketLink(dst *string, link, path string) *complaint {
	host, rest, _ := strings.Cut(path, "/")
	socket, err := url.PathUnescape(host)
	if err != nil || rest != "" || socket != "" && !strings.HasPrefix(socket, "/") {
		return complain("The path of the socket must be written with %%2F for each slash, as in ldapi://%%2Frun%%2Fslapd%%2Fldapi.")
	}
	*dst = link
	return nil
}

// principalPart takes a realm or a component of a principal's name, as it is
// and not in the escaped notation of names.
func principalPart(dst *string) setter {
	return text(func(v val, s string) *complaint {
		if s == "" || strings.ContainsAny(s, `/@\ `) {
			return complain("It must not be empty, nor hold a space, '/', '@' or a backslash.")
		}
		*dst = s
		return nil
	})
}
