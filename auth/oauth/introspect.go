package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"kpopd/auth"
)

// maxAsking bounds how many requests about tokens are under way.
const maxAsking = 16

// ask returns what the issuer says of a token (RFC 7662 §2). What was asked a
// moment ago is not asked again.
func (a *Authenticator) ask(ctx context.Context, text string) (claims, error) {
	key := a.answers.key(text)
	if v, ok := a.answers.get(key); ok {
		return v.claims, v.err
	}
	select {
	case a.asking <- true:
		defer func() { <-a.asking }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		return nil, unavailable(context.Cause(ctx), "canceled")
	}
	v := answer{}
	v.claims, v.err = a.introspect(ctx, text)
	if !errors.Is(v.err, auth.ErrUnavailable) {
		a.answers.set(key, v)
	}
	return v.claims, v.err
}

// introspect is one request.
func (a *Authenticator) introspect(ctx context.Context, text string) (claims, error) {
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
	case !active: // it may be another issuer's
		return auth.Refuse(fmt.Errorf("%w: the issuer does not know the token", auth.ErrUnknown), "token-inactive")
	case a.c.Issuer != "" && c.has("iss") && c.issuer() != a.c.Issuer:
		return errOtherIssuer
	case typed && !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "access_token"),
		!c.isBearer():
		return refuse("not-access-token", "no access token")
	}
	return nil
}
