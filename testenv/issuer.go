package testenv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// An Issuer is an OAuth 2.0 authorization server and OpenID Connect provider
// over TLS, on loopback: it has discovery, keys that it can rotate, a token
// endpoint for the grants "password" and "client_credentials", introspection
// (RFC 7662) and revocation (RFC 7009). Its users are those of the directory,
// with their passwords.
type Issuer struct {
	// URL is its identifier, "iss". It has a path, as that of a realm of
	// Keycloak's.
	URL string

	server *httptest.Server
	clear  *httptest.Server // the same without TLS, and without faults
	over   chan struct{}    // closed at the end of the test

	mu       sync.Mutex
	keys     []issuerKey // the last one of its algorithm signs
	more     []jose.JSONWebKey
	tokens   map[string]map[string]any
	opaque   bool
	fault    IssuerFault
	requests map[string]int
}

// The clients of every issuer: one that gets tokens, and the server that may
// ask about them.
const (
	TokenClient, TokenSecret = "mail-client", "mail-client-secret"
	AskClient, AskSecret     = "kpopd", "kpopd secret: 100% + &"
)

// An issuerKey signs by one algorithm.
type issuerKey struct {
	id        string
	algorithm jose.SignatureAlgorithm
	private   crypto.Signer
}

// NewIssuer starts an issuer of the test's own whose certificate ca signs.
func NewIssuer(t TB, ca *CA) *Issuer {
	t.Helper()
	i := &Issuer{over: make(chan struct{}), tokens: map[string]map[string]any{}, requests: map[string]int{}}
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.EdDSA, jose.ES256} {
		i.addKey(t, algorithm)
	}
	i.server = httptest.NewUnstartedServer(i.handler())
	i.server.TLS = ca.ServerConfig(t, "localhost", "127.0.0.1")
	i.server.EnableHTTP2 = true
	i.server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that go away
	i.server.StartTLS()
	i.URL = i.server.URL + "/realms/example"
	i.clear = httptest.NewServer(i.server.Config.Handler)
	t.Cleanup(func() { close(i.over); i.server.Close(); i.clear.Close() })
	return i
}

// Host is the host and port that the issuer listens on.
func (i *Issuer) Host() string { return i.server.Listener.Addr().String() }

// Rotate publishes a new key, with which tokens by ES256 are signed from now
// on, and withdraws the one before unless keep.
func (i *Issuer) Rotate(t TB, keep bool) {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	if !keep {
		i.keys = slices.DeleteFunc(i.keys, func(k issuerKey) bool { return k.algorithm == jose.ES256 })
	}
	i.addKey(t, jose.ES256)
}

// addKey makes a key; who calls it once the issuer runs has locked i.
func (i *Issuer) addKey(t TB, algorithm jose.SignatureAlgorithm) {
	t.Helper()
	var private crypto.Signer
	var err error
	switch algorithm {
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	i.keys = append(i.keys, issuerKey{fmt.Sprintf("%s-%s", algorithm, rand.Text()), algorithm, private})
}

// Claims are those of an access token for alice, with the audience "pop" and
// the scope "pop".
func (i *Issuer) Claims() map[string]any { return i.claims("alice", "pop") }

func (i *Issuer) claims(user, scope string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{
		"iss": i.URL, "aud": "pop", "sub": "id-of-" + user, "client_id": TokenClient, "jti": rand.Text(),
		"iat": now, "nbf": now, "exp": now + 3600, "scope": scope,
		"preferred_username": user, "email": user + "@example.test", "email_verified": true,
		"groups": []string{"pop-users", "staff"},
	}
}

// Token returns a token with the claims of [Issuer.Claims], changed as change
// says: nil removes one.
func (i *Issuer) Token(t TB, change map[string]any) string {
	t.Helper()
	claims := i.Claims()
	for name, v := range change {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	return i.Sign(t, "ES256", map[string]any{"typ": "at+jwt"}, claims)
}

// Sign signs claims, which may be any JSON, by the issuer's key for an algorithm,
// under a header to which alg and kid are added.
func (i *Issuer) Sign(t TB, algorithm string, header map[string]any, claims any) string {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	text, err := i.sign(jose.SignatureAlgorithm(algorithm), header, claims)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return text
}

func (i *Issuer) sign(algorithm jose.SignatureAlgorithm, header map[string]any, claims any) (string, error) {
	var key issuerKey
	for _, k := range i.keys {
		if k.algorithm == algorithm {
			key = k
		}
	}
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": key.id}}
	for name, v := range header {
		options.ExtraHeaders[jose.HeaderKey(name)] = v
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key.private}, options)
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

// SetOpaque makes the tokens of the token endpoint texts at random, about which
// the issuer alone can say anything.
func (i *Issuer) SetOpaque(opaque bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.opaque = opaque
}

// Know makes introspection answer a token with claims.
func (i *Issuer) Know(token string, claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tokens[token] = claims
}

// Publish publishes one more key, which the issuer does not sign with.
func (i *Issuer) Publish(k jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.more = append(i.more, k)
}

// Requests returns how many requests there were for a path, such as "/keys".
func (i *Issuer) Requests(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.requests[path]
}

// published returns the public keys.
func (i *Issuer) published() jose.JSONWebKeySet {
	i.mu.Lock()
	defer i.mu.Unlock()
	set := jose.JSONWebKeySet{Keys: slices.Clone(i.more)}
	for _, k := range i.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: string(k.algorithm), Use: "sig"})
	}
	return set
}

// issue makes an access token.
func (i *Issuer) issue(claims map[string]any) (string, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	text := rand.Text()
	if !i.opaque {
		var err error
		if text, err = i.sign(jose.ES256, map[string]any{"typ": "at+jwt"}, claims); err != nil {
			return "", err
		}
	}
	i.tokens[text] = claims
	return text, nil
}

// known returns what is known of an issued token that still holds; nil:
// nothing.
func (i *Issuer) known(text string) map[string]any {
	i.mu.Lock()
	defer i.mu.Unlock()
	claims := maps.Clone(i.tokens[text])
	if exp, ok := claims["exp"].(int64); !ok || time.Now().Unix() >= exp {
		return nil
	}
	return claims
}

func (i *Issuer) revoke(text string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.tokens, text)
}

// An IssuerFault is what an issuer does instead of answering.
type IssuerFault string

// The faults.
const (
	Healthy IssuerFault = ""
	Hang    IssuerFault = "hang"    // no answer
	Reset   IssuerFault = "reset"   // the connection ends
	Garbage IssuerFault = "garbage" // no JSON
	Huge    IssuerFault = "huge"    // an answer without end, compressed
	Deep    IssuerFault = "deep"    // JSON in JSON in JSON
	Broken  IssuerFault = "500"
	Loop    IssuerFault = "loop"  // a redirection to itself
	Clear   IssuerFault = "clear" // a redirection to a URL without TLS
)

// Break makes all requests from now on meet a fault.
func (i *Issuer) Break(f IssuerFault) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault = f
}

// breaks reports whether a request met a fault, and counts it.
func (i *Issuer) breaks(w http.ResponseWriter, r *http.Request) bool {
	i.mu.Lock()
	i.requests[r.URL.Path[len("/realms/example"):]]++
	fault := i.fault
	i.mu.Unlock()
	if fault == Healthy || r.TLS == nil {
		return false
	}
	switch fault {
	case Hang:
		select {
		case <-r.Context().Done():
		case <-i.over:
		}
	case Reset:
		panic(http.ErrAbortHandler)
	case Garbage:
		io.WriteString(w, `{"issuer": "`)
	case Huge:
		i.flood(w, r)
	case Deep:
		w.Write(slices.Repeat([]byte(`{"keys":[`), 20_000))
	case Broken:
		http.Error(w, "out of order", http.StatusInternalServerError)
	case Loop:
		http.Redirect(w, r, r.URL.String(), http.StatusFound)
	case Clear:
		http.Redirect(w, r, i.clear.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}
	return true
}
