package oauth

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"kpopd/auth"
)

// maxAsking bounds how many requests about tokens are under way.
const maxAsking = 16

// errInactive is about a token that the issuer does not know, or no longer. It
// is kept as a verdict, but to others the token may be known.
var errInactive = refuse("token-inactive", "the issuer does not know the token")

// ask returns whom a token proves by what its issuer says (RFC 7662 §2). What
// was asked a moment ago is not asked again.
func (a *Authenticator) ask(ctx context.Context, text string) (auth.Identity, error) {
	proof := a.verdicts.Proof(auth.Password{Secret: auth.Secret(text)})
	v, _ := a.verdicts.Ask(ctx, proof, func() (v auth.Verdict) {
		var c claims
		if c, v.Err = a.introspect(ctx, text); v.Err == nil {
			v.Identity, v.Err = a.identity(c, time.Now())
		}
		return v
	})
	id := v.Identity
	switch {
	case v.Err == errInactive:
		return auth.Identity{}, auth.Refuse(auth.ErrUnknown, "token-inactive")
	case v.Err != nil:
		return auth.Identity{}, v.Err
	case !id.Expires.IsZero() && !time.Now().Before(id.Expires):
		return auth.Identity{}, errExpired
	}
	id.Attrs, id.Groups = maps.Clone(id.Attrs), slices.Clone(id.Groups)
	return id, nil
}

// introspect is one request, when there is room for it.
func (a *Authenticator) introspect(ctx context.Context, text string) (claims, error) {
	select {
	case a.asking <- true:
		defer func() { <-a.asking }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return nil, unavailable(context.Cause(ctx), "canceled")
	}
	ctx, cancel := context.WithTimeout(ctx, a.c.Timeout)
	defer cancel()
	form := url.Values{"token": {text}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.c.IntrospectionURL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, unavailable(err, "introspection-failed")
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := a.prove(r); err != nil {
		return nil, unavailable(err, "no-client-secret")
	}
	var c claims
	if err := a.client.do(r, &c); err != nil {
		reason := "introspection-failed"
		if s, ok := errors.AsType[statusError](err); ok && (s == http.StatusUnauthorized || s == http.StatusForbidden) {
			reason = "introspection-refused" // RFC 7662 §2.3: this server, not the token
		}
		a.c.Log.Warn("issuer cannot be asked about tokens", "source", a.c.Source, "reason", reason, "err", err)
		return nil, unavailable(err, reason)
	}
	return c, a.judge(c)
}

// prove adds who this server is to a request. The name and the secret are
// encoded as in a form before they are put together (RFC 6749 §2.3.1).
func (a *Authenticator) prove(r *http.Request) error {
	if a.c.ClientSecret == nil {
		return nil
	}
	secret, err := a.c.ClientSecret()
	if err != nil {
		return err
	}
	r.SetBasicAuth(url.QueryEscape(a.c.ClientID), url.QueryEscape(string(secret)))
	return nil
}

// judge checks what an answer alone says.
func (a *Authenticator) judge(c claims) error {
	active, ok := c["active"].(bool)
	kind, typed := c["token_type"].(string)
	switch {
	case !ok: // RFC 7662 §2.2: required
		return unavailable(errors.New("the answer does not say whether the token is active"), "introspection-failed")
	case !active:
		return errInactive
	case a.c.Issuer != "" && c.has("iss") && c.issuer() != a.c.Issuer:
		return errOtherIssuer
	case typed && !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "access_token"),
		!c.isBearer():
		return refuse("not-access-token", "no access token")
	}
	return nil
}
