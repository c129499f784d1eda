package oauth

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"kpopd/auth"
)

// A Config says whose tokens let in whom. It has an Issuer or an
// IntrospectionURL, or both.
type Config struct {
	// Source is what identities name as their source. Empty: "oauth".
	Source string
	// Issuer is who must have made a token, octet for octet as its "iss" says
	// (RFC 7519 §4.1.1). Empty: whoever IntrospectionURL answers for.
	Issuer string
	// JWKSURL is where the issuer publishes its keys. Empty: its discovery
	// document says where.
	JWKSURL string
	// IntrospectionURL is asked about each token. Empty: tokens are signed, and
	// checked here.
	IntrospectionURL string
	// ClientID and ClientSecret prove this server where it asks about tokens.
	// ClientSecret is called each time, so that it may change. Empty, nil: the
	// server is asked without.
	ClientID     string
	ClientSecret func() (auth.Secret, error)

	// Audience must be among those a token is for (RFC 9068 §4). Required.
	Audience string
	// Scopes are those that a token must have, all of them. nil: none.
	Scopes []string
	// Algorithms are those that a token may be signed with. nil: [Algorithms].
	Algorithms []string
	// RequireATJWT: only a token that says so ("at+jwt", RFC 9068 §2.1) is
	// an access token. false: one with a scope or a client_id, which ID tokens
	// lack, and without their nonce or at_hash is one too.
	RequireATJWT bool

	// UserClaim is the claim that is the name of the identity. Empty: "sub".
	UserClaim string
	// GroupsClaim is the claim, a text or a list of them, with the groups of the
	// identity. Empty: none.
	GroupsClaim string
	// Claims become Attrs of the identity under their own names, if they are
	// texts, numbers or truth values.
	Claims []string

	// CAs may sign the certificates of the issuer. nil: the system's.
	CAs *x509.CertPool
	// Timeout bounds each request to the issuer. 0: 5 s.
	Timeout time.Duration
	// Remember is how long an answer about a token is good. 0: not at all. An
	// answer is never kept for longer than 30 s, nor than the token lives.
	Remember time.Duration

	Log *slog.Logger // nil: slog.Default()
}

// Algorithms are the algorithms that tokens may be signed with (RFC 7518
// §3.1, RFC 8037 §3.1): those in which the issuer alone can sign.
func Algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// maxRemember is the longest time for which an answer about a token is kept:
// for as long a token may outlive its revocation (RFC 7662 §4).
const maxRemember = 30 * time.Second

// An Authenticator is an [auth.Authenticator] for the tokens of one issuer. It
// is safe for concurrent use.
type Authenticator struct {
	c          Config
	algorithms []jose.SignatureAlgorithm
	client     *client
	keys       *keySet        // nil: the issuer is asked about each token
	verdicts   *auth.Verdicts // of the issuer, about tokens
	asking     chan bool      // bounds those who ask
}

var _ auth.Authenticator = (*Authenticator)(nil)

// New returns an Authenticator. It asks the issuer for nothing until a token
// is shown.
func New(c Config) (*Authenticator, error) {
	c.Source = cmp.Or(c.Source, "oauth")
	c.UserClaim = cmp.Or(c.UserClaim, "sub")
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.Remember = min(c.Remember, maxRemember)
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Algorithms == nil {
		c.Algorithms = Algorithms()
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("oauth: %w", err)
	}
	a := &Authenticator{c: c, client: newClient(c.CAs, c.Timeout)}
	for _, name := range c.Algorithms {
		a.algorithms = append(a.algorithms, jose.SignatureAlgorithm(name))
	}
	if c.IntrospectionURL != "" {
		a.verdicts, a.asking = auth.NewVerdicts(c.Remember, c.Remember, &auth.Budget{}), make(chan bool, maxAsking)
	} else {
		a.keys = newKeySet(a.fetchKeys, c.Source, c.Log)
	}
	return a, nil
}

func (c *Config) check() error {
	switch {
	case c.Audience == "":
		return errors.New("a token must be for an audience")
	case c.Issuer == "" && c.IntrospectionURL == "":
		return errors.New("it takes an issuer, or a URL to ask about tokens")
	case c.JWKSURL != "" && c.IntrospectionURL != "":
		return errors.New("tokens are checked by keys or by asking, not both")
	}
	for _, link := range []string{c.Issuer, c.JWKSURL, c.IntrospectionURL} {
		if u, err := url.Parse(link); link != "" && (err != nil || !isSafe(u)) {
			return fmt.Errorf("%q is no https URL", link)
		}
	}
	for _, name := range c.Algorithms {
		if !slices.Contains(Algorithms(), name) {
			return fmt.Errorf("%q is no algorithm for tokens", name)
		}
	}
	for _, name := range c.Claims {
		if auth.IsProofAttr(name) {
			return fmt.Errorf("the claim %q has the name of what a ticket or a certificate says", name)
		}
	}
	return nil
}

// Adopt takes over the keys that another Authenticator has, if they are those
// of the same issuer: after a reload nobody waits for the issuer.
func (a *Authenticator) Adopt(old *Authenticator) {
	if a.keys != nil && old.keys != nil && a.c.Issuer == old.c.Issuer && a.c.JWKSURL == old.c.JWKSURL {
		a.keys.adopt(old.keys)
	}
}

// Close lets go of connections to the issuer. Who still asks is answered.
func (a *Authenticator) Close() error {
	if a.keys != nil {
		a.keys.close()
	}
	a.client.http.CloseIdleConnections()
	return nil
}

// Hint returns what clients are told of tokens that this Authenticator takes.
func (a *Authenticator) Hint() Hint {
	h := Hint{Scope: strings.Join(a.c.Scopes, " ")}
	if a.c.Issuer != "" {
		h.Configuration = discoveryURL(a.c.Issuer)
	}
	return h
}

// Authenticate implements [auth.Authenticator] for bearer tokens. A token of
// another issuer is [auth.ErrUnknown], and so is one that only its own issuer
// could tell from any other text.
func (a *Authenticator) Authenticate(ctx context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	b, ok := c.(auth.Bearer)
	if !ok {
		return auth.Identity{}, auth.ErrUnknown
	}
	if err := ctx.Err(); err != nil {
		return auth.Identity{}, unavailable(err, "canceled")
	}
	if len(b.Token) > auth.MaxToken {
		return auth.Identity{}, refuse("malformed-token", "a token that is too long")
	}
	return a.check(ctx, string(b.Token))
}

// check returns whom a token proves. Which issuer's it is decides first: one
// of another is shown to nobody, and one that says nothing of that only where
// it must be.
func (a *Authenticator) check(ctx context.Context, text string) (auth.Identity, error) {
	t, err := parseToken(text)
	switch {
	case err == nil && a.c.Issuer != "" && t.claims.issuer() != a.c.Issuer:
		return auth.Identity{}, errOtherIssuer
	case a.keys == nil:
		return a.ask(ctx, text)
	case err != nil:
		return auth.Identity{}, err
	}
	if err := a.acceptable(t); err != nil {
		return auth.Identity{}, err
	}
	if err := a.keys.verify(ctx, t); err != nil {
		return auth.Identity{}, err
	}
	return a.identity(t.claims, time.Now())
}

var errOtherIssuer = auth.Refuse(auth.ErrUnknown, "other-issuer")

func unavailable(err error, reason string) error {
	return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrUnavailable, err), reason)
}
