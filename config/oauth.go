package config

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// An OAuth is an authenticator "oauth". It has an Issuer, whose signed tokens
// are checked here, or an IntrospectionURL that is asked about each token.
type OAuth struct {
	Issuer, JWKSURL, IntrospectionURL string // https
	// Audience must be among a token's. Required: a token for another service
	// is not a login.
	Audience string
	// ClientID and ClientSecretFile prove this server where it asks about
	// tokens. Default: both "".
	ClientID, ClientSecretFile string
	// Scopes are those that a token must have, all of them. Default: none.
	Scopes []string
	// Algorithms are those that a token may be signed with. Default: nil, every
	// one in which the issuer alone can sign.
	Algorithms []string
	// RequireATJWT takes no token but one whose type is at+jwt (RFC 9068).
	// Default: false, because few issuers write it.
	RequireATJWT bool
	// UserClaim is the claim that is the user's name. Default: "sub", the only
	// one that never passes to somebody else (OpenID Connect Core §5.7).
	UserClaim string
	// GroupsClaim is the claim with the groups. Default: "", none.
	GroupsClaim string
	// Claims reach expressions as attr.NAME. Default: none.
	Claims []string
	CAFile string // default: "", the system's authorities
	// Timeout bounds each request to the issuer. Default: 5s.
	Timeout time.Duration
	// Cache is how long an answer about a token is good. Default: 30s.
	Cache time.Duration
}

// algorithms are those that tokens may be signed with (RFC 7518 §3.1, RFC 8037
// §3.1): no "none", and none in which whoever can check can sign too.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

func (a *Authenticator) readOAuth(d *decoder, b *hclsyntax.Block) {
	o := &OAuth{UserClaim: "sub", Timeout: 5 * time.Second, Cache: 30 * time.Second}
	algorithm := func(dst *string) setter { return oneOf(dst, algorithms...) }
	a.Place = d.block(b, schema{what: `authenticator "oauth"`, fields: []field{
		may("issuer", value(link(&o.Issuer, "https"))),
		may("jwks_url", value(link(&o.JWKSURL, "https"))),
		may("introspection_url", value(link(&o.IntrospectionURL, "https"))),
		must("audience", value(str(&o.Audience))),
		may("client_id", value(str(&o.ClientID))),
		may("client_secret_file", value(path(&o.ClientSecretFile))),
		may("scopes", value(list(&o.Scopes, scope))),
		may("algorithms", value(list(&o.Algorithms, algorithm))),
		may("require_at_jwt", value(boolean(&o.RequireATJWT))),
		may("user_claim", value(str(&o.UserClaim))),
		may("groups_claim", value(str(&o.GroupsClaim))),
		may("claims", value(list(&o.Claims, claim))),
		may("ca_file", value(path(&o.CAFile))),
		may("timeout", value(duration(&o.Timeout, time.Second, time.Minute, ""))),
		may("cache", value(duration(&o.Cache, 0, 30*time.Second, ""))),
	}})
	a.checkOAuth(d)
	a.OAuth = o
}

// checkOAuth checks what several arguments say together.
func (a *Authenticator) checkOAuth(d *decoder) {
	switch {
	case !a.has("issuer") && !a.has("introspection_url") && !a.has("jwks_url"):
		d.errorf(a.Header, "Missing argument", "One of issuer and introspection_url is required.")
	case a.has("jwks_url") && a.has("introspection_url"):
		d.errorf(a.At("introspection_url"), "Two ways to check tokens", "They are checked by the keys of jwks_url, or introspection_url is asked about them. Leave one of the two out.")
	case a.has("jwks_url") && !a.has("issuer"): // RFC 9068 §4; several may share their keys
		d.errorf(a.At("jwks_url"), "Missing argument", "jwks_url needs the issuer whose keys these are.")
	}
	if a.has("client_secret_file") != a.has("client_id") {
		d.errorf(a.At("client_secret_file"), "Incomplete client", "client_id and client_secret_file are needed together, or neither of them.")
	}
	asking, checking := []string{"client_id", "cache"}, []string{"algorithms", "require_at_jwt"}
	for _, name := range slices.Concat(asking, checking) {
		if a.has(name) && a.has("introspection_url") != slices.Contains(asking, name) {
			need := "needs introspection_url"
			if slices.Contains(checking, name) {
				need = "is for signed tokens, which are not checked here with introspection_url"
			}
			d.errorf(a.At(name), "Argument without effect", "%s %s.", name, need)
		}
	}
}

// scope takes one scope (RFC 6749 §3.3).
func scope(dst *string) setter {
	return text(func(_ val, s string) *complaint {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			return complain("A scope is a word without spaces; write several as a list.")
		}
		*dst = s
		return nil
	})
}

// claim takes the name of a claim, and none that has its meaning already.
func claim(dst *string) setter {
	return text(func(_ val, s string) *complaint {
		switch {
		case s == "":
			return complain("It is empty.")
		case isReserved(s):
			return complain("What is called so comes from a ticket or a client certificate.")
		}
		*dst = s
		return nil
	})
}
