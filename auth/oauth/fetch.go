package oauth

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Bounds on what an issuer answers: ten times what the large ones do.
const (
	maxDocument  = 256 << 10 // octets
	maxKeys      = 100
	maxRedirects = 3
	minRSA       = 2048 // bits (RFC 7518 §3.3)
)

// A client asks an issuer.
type client struct {
	http    *http.Client
	timeout time.Duration
}

func newClient(cas *x509.CertPool, timeout time.Duration) *client {
	return &client{timeout: timeout, http: &http.Client{
		CheckRedirect: follow,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: cas, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    timeout,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxConnsPerHost:        2 * maxAsking,
			MaxIdleConnsPerHost:    maxAsking,
			IdleConnTimeout:        30 * time.Second,
			ForceAttemptHTTP2:      true,
		},
	}}
}

// isSafe reports whether a URL leads over TLS to some host, and holds no
// password.
func isSafe(u *url.URL) bool { return u.Scheme == "https" && u.Hostname() != "" && u.User == nil }

// follow follows a few redirections of what is public, and none of a request
// with a token in it.
func follow(r *http.Request, via []*http.Request) error {
	switch {
	case via[0].Method != http.MethodGet:
		return http.ErrUseLastResponse
	case len(via) > maxRedirects:
		return errors.New("too many redirections")
	case !isSafe(r.URL):
		return errors.New("a redirection to what is no https URL")
	}
	return nil
}

// get decodes the JSON document at a URL.
func (c *client) get(ctx context.Context, link string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return err
	}
	return c.do(r, into)
}

// do decodes the JSON that a request is answered with. Its error says nothing
// of what is in it.
func (c *client) do(r *http.Request, into any) error {
	r.Header.Set("Accept", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w", r.URL, statusError(answer.StatusCode))
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxDocument+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", r.URL, err)
	case len(b) > maxDocument:
		return fmt.Errorf("%s: more than %d octets", r.URL, maxDocument)
	}
	if err := decode(b, into); err != nil {
		return fmt.Errorf("%s: not the JSON that should be there", r.URL)
	}
	return nil
}

// A statusError is an answer that says no.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("HTTP status %d", int(e)) }

// discoveryURL returns where an issuer has its discovery document (OpenID
// Connect Discovery §4.1).
func discoveryURL(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// fetchKeys returns the keys that the issuer signs with now.
func (a *Authenticator) fetchKeys(ctx context.Context) ([]jose.JSONWebKey, error) {
	link := a.c.JWKSURL
	if link == "" {
		var err error
		if link, err = a.discover(ctx); err != nil {
			return nil, err
		}
	}
	var set struct {
		Keys []stdjson.RawMessage `json:"keys"`
	}
	if err := a.client.get(ctx, link, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%s: more than %d keys", link, maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		// RFC 7517 §5: those that are not understood are passed over.
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && isUsable(&k) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// discover returns where the issuer has its keys.
func (a *Authenticator) discover(ctx context.Context) (string, error) {
	link := discoveryURL(a.c.Issuer)
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := a.client.get(ctx, link, &document); err != nil {
		return "", err
	}
	if document.Issuer != a.c.Issuer { // OpenID Connect Discovery §4.3
		return "", fmt.Errorf("%s is of another issuer, %q", link, document.Issuer)
	}
	if u, err := url.Parse(document.JWKSURI); err != nil || !isSafe(u) {
		return "", fmt.Errorf("%s: jwks_uri is no https URL", link)
	}
	return document.JWKSURI, nil
}

// isUsable reports whether a key is one that only its owner can sign with, and
// meant for that.
func isUsable(k *jose.JSONWebKey) bool {
	if !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
		return false
	}
	r, ok := k.Key.(*rsa.PublicKey)
	return !ok || r.N.BitLen() >= minRSA
}
