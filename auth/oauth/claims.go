package oauth

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"kpopd/auth"
)

// Claims are what a token, or the answer about one, says (RFC 7519 §4, RFC
// 7662 §2.2).
type claims map[string]any

// leeway is by how much the issuer's clock may be ahead.
const leeway = time.Minute

// maxValue bounds a claim that becomes an attribute, as what comes from a
// directory is bounded.
const maxValue = 4096

func (c claims) has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { _, ok := c[name]; return ok })
}

func (c claims) issuer() string {
	s, _ := c["iss"].(string)
	return s
}

// isBearer reports whether a type among the claims, which Keycloak has there, is
// that of an access token.
func (c claims) isBearer() bool {
	kind, ok := c["typ"]
	return !ok || kind == "Bearer"
}

// time returns a NumericDate (RFC 7519 §2). It reports false where the claim
// is there and is none.
func (c claims) time(name string) (t time.Time, ok bool) {
	v, there := c[name]
	if !there {
		return time.Time{}, true
	}
	number, ok := v.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := number.Float64()
	const last = 253402300799 // the end of the year 9999
	if err != nil || !(seconds >= 1 && seconds <= last) {
		return time.Time{}, false
	}
	return time.Unix(int64(math.Floor(seconds)), 0), true
}

// list returns a claim that is a text, or a list of nothing but texts.
func (c claims) list(name string) []string {
	switch v := c[name].(type) {
	case string:
		return []string{v}
	case []any:
		all := make([]string, 0, len(v))
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil
			}
			all = append(all, s)
		}
		return all
	}
	return nil
}

// scopes returns the scope, which is a text with spaces (RFC 9068 §2.2.3) or,
// from some issuers, a list and by another name.
func (c claims) scopes() []string {
	var all []string
	for _, name := range []string{"scope", "scp"} {
		for _, s := range c.list(name) {
			all = append(all, strings.Fields(s)...)
		}
	}
	return all
}

// text returns a claim that can be an attribute, as text.
func (c claims) text(name string) (string, bool) {
	s := ""
	switch v := c[name].(type) {
	case string:
		s = v
	case json.Number:
		s = v.String()
	case bool:
		s = strconv.FormatBool(v)
	default: // a list, an object, or not there
		return "", false
	}
	return s, len(s) <= maxValue && auth.IsText(s)
}

// identity returns whom claims prove at a time, if they are for this server.
func (a *Authenticator) identity(c claims, now time.Time) (auth.Identity, error) {
	expires, err := c.valid(now, a.keys == nil)
	if err != nil {
		return auth.Identity{}, err
	}
	switch {
	case !slices.Contains(c.list("aud"), a.c.Audience): // RFC 9068 §4, RFC 7662 §4
		return auth.Identity{}, refuse("wrong-audience", "a token for another audience")
	case c.has("cnf"): // RFC 7800 §3.1
		return auth.Identity{}, refuse("bound-token", "a token that is bound to a key")
	}
	user, err := a.user(c)
	if err != nil {
		return auth.Identity{}, err
	}
	scopes := c.scopes()
	for _, s := range a.c.Scopes {
		if !slices.Contains(scopes, s) {
			return auth.Identity{}, auth.Refuse(auth.ErrDenied, "insufficient-scope")
		}
	}
	id := auth.Identity{User: user, Source: a.c.Source, Expires: expires, Attrs: map[string]string{}}
	for _, name := range a.c.Claims {
		if s, ok := c.text(name); ok {
			id.Attrs[name] = s
		}
	}
	if a.c.GroupsClaim != "" {
		id.Groups = slices.DeleteFunc(c.list(a.c.GroupsClaim), func(g string) bool { return !auth.IsText(g) || g == "" })
	}
	return id, nil
}

// valid returns the end of the time in which claims hold, if now is in it. A
// signed token must have an end (RFC 9068 §2.2); of one that was asked about
// the issuer has said that it is good now.
func (c claims) valid(now time.Time, asked bool) (expires time.Time, err error) {
	expires, ok := c.time("exp")
	from, ok2 := c.time("nbf")
	issued, ok3 := c.time("iat")
	switch {
	case !ok || !ok2 || !ok3:
		return expires, refuse("malformed-claims", "a time that is none")
	case expires.IsZero() && !asked:
		return expires, refuse("no-expiry", "a token without an end")
	case !expires.IsZero() && !now.Before(expires):
		return expires, errExpired
	case now.Add(leeway).Before(from) || now.Add(leeway).Before(issued):
		return expires, refuse("token-not-yet-valid", "a token that is not valid yet")
	}
	return expires, nil
}

var errExpired = refuse("token-expired", "a token that has expired")

// user returns the name that a token proves. An address that the issuer has
// not verified is one that people choose themselves (OpenID Connect Core
// §5.7).
func (a *Authenticator) user(c claims) (string, error) {
	user, ok := c[a.c.UserClaim].(string)
	switch {
	case !ok:
		return "", refuse("no-user-claim", fmt.Sprintf("a token without the claim %q", a.c.UserClaim))
	case !auth.IsName(user):
		return "", refuse("malformed-user", "a token for a name that is none")
	case a.c.UserClaim == "email" && c.has("email_verified") && c["email_verified"] != true && c["email_verified"] != "true":
		return "", refuse("email-not-verified", "an address that is not verified")
	}
	return user, nil
}
