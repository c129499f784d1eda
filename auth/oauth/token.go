package oauth

import (
	"bytes"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"kpopd/auth"
)

// A header is what decides about a signed token before its signature does (RFC
// 7515 §4.1). What it says of where keys are (jku, jwk, x5u, x5c) is passed
// over: they are where the issuer says.
type header struct {
	Algorithm string             `json:"alg"`
	KeyID     string             `json:"kid"`
	Type      string             `json:"typ"`
	Critical  stdjson.RawMessage `json:"crit"`
}

// A token is a signed token in its compact form (RFC 7515 §7.1), of which
// nothing is proven yet.
type token struct {
	text   string
	header header
	claims claims
}

// errNotSigned is about a text that some other issuer's token may be.
var errNotSigned = auth.Refuse(auth.ErrUnknown, "not-a-jwt")

// parseToken parses a token, each part of it strictly: what one reader takes
// for the first of two and another for the second would mean two things.
func parseToken(text string) (*token, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || len(text) > auth.MaxToken { // five: an encrypted one (RFC 7516 §7.1)
		return nil, errNotSigned
	}
	t := &token{text: text}
	if err := decodePart(parts[0], &t.header); err != nil {
		return nil, errNotSigned
	}
	if err := decodePart(parts[1], &t.claims); err != nil || t.claims == nil {
		return nil, errNotSigned
	}
	return t, nil
}

func decodePart(part string, into any) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return err
	}
	return decode(b, into)
}

// decode decodes JSON strictly: no name is there twice, and letters have their
// case. Numbers stay as they are written. The standard library's check comes
// first because it bounds the depth.
func decode(b []byte, into any) error {
	if !stdjson.Valid(b) {
		return errors.New("no JSON")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.SetNumberType(json.UnmarshalJSONNumber)
	return d.Decode(into)
}

// acceptable checks what a token says of itself before it is worth the work of
// checking its signature.
func (a *Authenticator) acceptable(t *token) error {
	switch {
	case !slices.Contains(a.c.Algorithms, t.header.Algorithm): // "none" above all
		return refuse("algorithm-not-allowed", "signed by an algorithm that is not allowed")
	case t.header.Critical != nil: // RFC 7515 §4.1.11: nothing is known here
		return refuse("critical-header", "a critical header")
	case !a.isAccessToken(t):
		return refuse("not-access-token", "no access token")
	}
	return nil
}

// isAccessToken tells access tokens from ID tokens and others, which issuers
// sign by the same keys. RFC 9068 §4 has the type for that, but most issuers
// write "JWT" or nothing there. Access tokens have a scope or the client that
// asked for them; ID tokens have neither, but a nonce or the hash of the access
// token that came with them (OpenID Connect Core §2).
func (a *Authenticator) isAccessToken(t *token) bool {
	switch strings.ToLower(t.header.Type) { // RFC 7515 §4.1.9: a media type, of any case
	case "at+jwt", "application/at+jwt":
		return true
	case "", "jwt", "application/jwt":
	default:
		return false
	}
	if a.c.RequireATJWT || t.claims.has("nonce", "at_hash", "c_hash", "events") {
		return false
	}
	return t.claims.isBearer() && t.claims.has("scope", "scp", "client_id")
}

// verify checks the signature by one of keys, and reports whether any of them
// could be the one that the token names.
func (t *token) verify(keys []jose.JSONWebKey) (named bool, err error) {
	algorithm := jose.SignatureAlgorithm(t.header.Algorithm)
	signed, err := jose.ParseSignedCompact(t.text, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		return true, refuse("malformed-token", "a token that is malformed")
	}
	for _, k := range keys {
		if t.header.KeyID != "" && k.KeyID != t.header.KeyID || k.Algorithm != "" && k.Algorithm != t.header.Algorithm {
			continue
		}
		named = named || t.header.KeyID != ""
		if _, err := signed.Verify(k.Key); err == nil {
			return true, nil
		}
	}
	return named, errSignature
}

var errSignature = refuse("bad-signature", "a signature that is not the issuer's")
