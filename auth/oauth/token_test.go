package oauth_test

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/auth/oauth"
	"kpopd/testenv"
)

func TestRight(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.Claims, c.Scopes = []string{"jti", "email_verified", "exp", "groups", "missing"}, []string{"pop"}
	a := open(t, c)
	exp := time.Now().Add(time.Hour).Unix()
	id := accepted(t, a, w.Token(t, map[string]any{"exp": exp, "jti": "tätärätä"}), "alice")
	if id.Source != "oauth test" || !id.Expires.Equal(time.Unix(exp, 0)) || !slices.Equal(id.Groups, []string{"pop-users", "staff"}) {
		t.Errorf("identity %+v", id)
	}
	want := map[string]string{"jti": "tätärätä", "email_verified": "true", "exp": fmt.Sprint(exp)}
	if fmt.Sprint(id.Attrs) != fmt.Sprint(want) {
		t.Errorf("attrs %v, want %v", id.Attrs, want)
	}
	for _, algorithm := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		accepted(t, a, w.Sign(t, algorithm, map[string]any{"typ": "JWT"}, w.Claims()), "alice")
	}
}

// TestClaims: what makes a token of the issuer's own no login.
func TestClaims(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.Scopes = []string{"pop", "mail"}
	a := open(t, c)
	now := time.Now().Unix()
	type claims = map[string]any
	for _, c := range []struct {
		name   string
		change claims
		is     error
		reason string // "": it is a login
	}{
		{"as it should be", claims{}, nil, ""},
		{"several audiences", claims{"aud": []string{"imap", "pop"}}, nil, ""},
		{"end with a fraction", claims{"exp": float64(now) + 60.5}, nil, ""},
		{"clock ahead a little", claims{"iat": now + 20, "nbf": now + 20}, nil, ""},
		{"scope as a list", claims{"scope": nil, "scp": []string{"mail", "pop"}}, nil, ""},
		{"no iat, no nbf", claims{"iat": nil, "nbf": nil}, nil, ""},

		{"another issuer", claims{"iss": w.URL + "/"}, auth.ErrUnknown, "other-issuer"},
		{"no issuer", claims{"iss": nil}, auth.ErrUnknown, "other-issuer"},
		{"issuers", claims{"iss": []string{w.URL}}, auth.ErrUnknown, "other-issuer"},
		{"another audience", claims{"aud": "imap"}, auth.ErrCredentials, "wrong-audience"},
		{"an audience with a prefix", claims{"aud": "popular"}, auth.ErrCredentials, "wrong-audience"},
		{"an audience that is no text", claims{"aud": []any{"pop", 1}}, auth.ErrCredentials, "wrong-audience"},
		{"no audience", claims{"aud": nil}, auth.ErrCredentials, "wrong-audience"},
		{"empty audience", claims{"aud": []string{}}, auth.ErrCredentials, "wrong-audience"},
		{"audience in an object", claims{"aud": claims{"pop": "pop"}}, auth.ErrCredentials, "wrong-audience"},
		{"expired", claims{"exp": now - 1}, auth.ErrCredentials, "token-expired"},
		{"no end", claims{"exp": nil}, auth.ErrCredentials, "no-expiry"},
		{"end as text", claims{"exp": fmt.Sprint(now + 60)}, auth.ErrCredentials, "malformed-claims"},
		{"end too far", claims{"exp": json.Number("1e300")}, auth.ErrCredentials, "malformed-claims"},
		{"end far too far", claims{"exp": json.Number("1e999")}, auth.ErrCredentials, "malformed-claims"},
		{"end that wraps", claims{"exp": json.Number("18446744073709551617")}, auth.ErrCredentials, "malformed-claims"},
		{"end below zero", claims{"exp": -1}, auth.ErrCredentials, "malformed-claims"},
		{"end at zero", claims{"exp": 0}, auth.ErrCredentials, "malformed-claims"},
		{"end that is null", claims{"exp": json.RawMessage("null")}, auth.ErrCredentials, "malformed-claims"},
		{"not yet", claims{"nbf": now + 600}, auth.ErrCredentials, "token-not-yet-valid"},
		{"not yet issued", claims{"iat": now + 600}, auth.ErrCredentials, "token-not-yet-valid"},
		{"start as text", claims{"nbf": "0"}, auth.ErrCredentials, "malformed-claims"},
		{"bound to a certificate", claims{"cnf": claims{"x5t#S256": "x"}}, auth.ErrCredentials, "bound-token"},
		{"no scope", claims{"scope": nil}, auth.ErrDenied, "insufficient-scope"},
		{"one scope of two", claims{"scope": "pop"}, auth.ErrDenied, "insufficient-scope"},
		{"scopes in one word", claims{"scope": "pop,mail popmail"}, auth.ErrDenied, "insufficient-scope"},
		{"scope of another case", claims{"scope": "POP MAIL"}, auth.ErrDenied, "insufficient-scope"},
		{"nobody", claims{"preferred_username": nil}, auth.ErrCredentials, "no-user-claim"},
		{"a number", claims{"preferred_username": 7}, auth.ErrCredentials, "no-user-claim"},
		{"several", claims{"preferred_username": []string{"alice"}}, auth.ErrCredentials, "no-user-claim"},
		{"empty", claims{"preferred_username": ""}, auth.ErrCredentials, "malformed-user"},
		{"with NUL", claims{"preferred_username": "alice\x00"}, auth.ErrCredentials, "malformed-user"},
		{"with CR LF", claims{"preferred_username": "alice\r\n+OK"}, auth.ErrCredentials, "malformed-user"},
		{"long", claims{"preferred_username": strings.Repeat("a", 256)}, auth.ErrCredentials, "malformed-user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			change := claims{"scope": "mail pop"}
			for name, v := range c.change {
				change[name] = v
			}
			if c.reason == "" {
				accepted(t, a, w.Token(t, change), "alice")
				return
			}
			refused(t, a, w.Token(t, change), c.is, c.reason)
		})
	}
}

// TestEmail: an address that is not verified is one that people give
// themselves.
func TestEmail(t *testing.T) {
	w := newWorld(t)
	c := w.config()
	c.UserClaim = "email"
	a := open(t, c)
	accepted(t, a, w.Token(t, nil), "alice@example.test")
	accepted(t, a, w.Token(t, map[string]any{"email_verified": nil}), "alice@example.test")
	for _, v := range []any{false, "false", 0} {
		refused(t, a, w.Token(t, map[string]any{"email_verified": v}), auth.ErrCredentials, "email-not-verified")
	}
}

// TestKinds: which of the issuer's tokens are access tokens.
func TestKinds(t *testing.T) {
	w := newWorld(t)
	lax := open(t, w.config())
	c := w.config()
	c.RequireATJWT = true
	strict := open(t, c)
	type claims = map[string]any
	for _, c := range []struct {
		typ         string
		change      claims
		lax, strict bool
	}{
		{"at+jwt", nil, true, true},
		{"application/at+jwt", nil, true, true},
		{"AT+JWT", nil, true, true},
		{"JWT", nil, true, false},
		{"jwt", nil, true, false},
		{"", nil, true, false},
		{"JWT", claims{"client_id": nil}, true, false},
		{"JWT", claims{"scope": nil, "scp": "pop", "client_id": nil}, true, false},
		{"JWT", claims{"typ": "Bearer"}, true, false},
		{"JWT", claims{"typ": "ID"}, false, false},
		{"JWT", claims{"typ": "Refresh"}, false, false},
		{"JWT", claims{"typ": 1}, false, false},
		{"JWT", claims{"nonce": "n"}, false, false},
		{"JWT", claims{"at_hash": "h"}, false, false},
		{"JWT", claims{"events": claims{}}, false, false},
		{"JWT", claims{"scope": nil, "client_id": nil}, false, false},
		{"", claims{"scope": nil, "client_id": nil}, false, false},
		{"logout+jwt", nil, false, false},
		{"dpop+jwt", nil, false, false},
		{"JWE", nil, false, false},
	} {
		all := w.Claims()
		for name, v := range c.change {
			if all[name] = v; v == nil {
				delete(all, name)
			}
		}
		header := map[string]any{}
		if c.typ != "" {
			header["typ"] = c.typ
		}
		token := w.Sign(t, "ES256", header, all)
		for _, one := range []struct {
			a  *oauth.Authenticator
			ok bool
		}{{lax, c.lax}, {strict, c.strict}} {
			if one.ok {
				accepted(t, one.a, token, "alice")
			} else {
				refused(t, one.a, token, auth.ErrCredentials, "not-access-token")
			}
		}
	}
}

// TestIDToken: the ID token that comes with an access token opens nothing, even
// where the audience was set to that of the client.
func TestIDToken(t *testing.T) {
	w := newWorld(t)
	access, id := w.fetch(t, "alice", "openid pop")
	c := w.config()
	accepted(t, open(t, c), access, "alice")
	refused(t, open(t, c), id, auth.ErrCredentials, "not-access-token")
	c.Audience = testenv.TokenClient
	refused(t, open(t, c), id, auth.ErrCredentials, "not-access-token")
}

// fetch gets tokens from the token endpoint, as a client does.
func (w world) fetch(t testing.TB, user, scope string) (access, id string) {
	t.Helper()
	var reply struct {
		Access string `json:"access_token"`
		ID     string `json:"id_token"`
	}
	w.post(t, "/token", url.Values{"grant_type": {"password"}, "username": {user}, "password": {user + "-password"}, "scope": {scope}}, &reply)
	if reply.Access == "" {
		t.Fatal("no access token")
	}
	return reply.Access, reply.ID
}

// post posts a form as the client that gets tokens.
func (w world) post(t testing.TB, path string, form url.Values, reply any) {
	t.Helper()
	form.Set("client_id", testenv.TokenClient)
	form.Set("client_secret", testenv.TokenSecret)
	body := w.http(t, func(c *http.Client) (*http.Response, error) { return c.PostForm(w.URL+path, form) })
	if reply != nil {
		if err := json.Unmarshal(body, reply); err != nil {
			t.Fatalf("%s: %v: %s", path, err, body)
		}
	}
}

// http does one request and returns the body of the answer.
func (w world) http(t testing.TB, do func(*http.Client) (*http.Response, error)) []byte {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.ca.Pool()}}
	defer transport.CloseIdleConnections()
	answer, err := do(&http.Client{Transport: transport, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v: %s", answer.Status, err, body)
	}
	return body
}

// parts puts a token together from a header, claims and a signature.
func parts(header, claims string, sign func(input string) []byte) string {
	input := encode([]byte(header)) + "." + encode([]byte(claims))
	return input + "." + encode(sign(input))
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func unsigned(string) []byte { return nil }

// TestHostile: tokens that their issuer never made.
func TestHostile(t *testing.T) {
	w := newWorld(t)
	a := open(t, w.config())
	text, err := json.Marshal(w.Claims())
	if err != nil {
		t.Fatal(err)
	}
	claims := string(text)
	good := w.Token(t, nil)
	head, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	id, key := w.publicKey(t)
	byPublicKey := func(input string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(input))
		return h.Sum(nil)
	}
	other := newWorld(t)
	forged := map[string]any{}
	json.Unmarshal(text, &forged)
	crit := func(header string) string {
		return w.Sign(t, "ES256", map[string]any{"typ": "at+jwt", "crit": []string{header}, header: true}, w.Claims())
	}
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	unclosed := strings.Repeat(`{"a":`, 2000)
	for _, c := range []struct {
		name, token string
		is          error
		reason      string
	}{
		{"alg none", parts(`{"alg":"none","typ":"at+jwt"}`, claims, unsigned), auth.ErrCredentials, "algorithm-not-allowed"},
		{"alg None", parts(`{"alg":"None","typ":"at+jwt"}`, claims, unsigned), auth.ErrCredentials, "algorithm-not-allowed"},
		{"no alg", parts(`{"typ":"at+jwt"}`, claims, unsigned), auth.ErrCredentials, "algorithm-not-allowed"},
		{"alg of another case", parts(`{"alg":"es256","typ":"at+jwt"}`, claims, unsigned), auth.ErrCredentials, "algorithm-not-allowed"},
		{"two algs", parts(`{"alg":"ES256","alg":"none","typ":"at+jwt"}`, claims, unsigned), auth.ErrUnknown, "not-a-jwt"},
		{"ALG besides alg", parts(`{"alg":"none","ALG":"ES256","typ":"at+jwt"}`, claims, unsigned), auth.ErrCredentials, "algorithm-not-allowed"},
		{"HS256 by the public key", parts(`{"alg":"HS256","typ":"at+jwt","kid":"`+id+`"}`, claims, byPublicKey), auth.ErrCredentials, "algorithm-not-allowed"},
		{"RS256 header over an HMAC", parts(`{"alg":"RS256","typ":"at+jwt","kid":"`+id+`"}`, claims, byPublicKey), auth.ErrCredentials, "bad-signature"},
		{"no signature", head + "." + body + ".", auth.ErrCredentials, "bad-signature"},
		{"signature of another token", head + "." + encode([]byte(claims)) + "." + signature, auth.ErrCredentials, "bad-signature"},
		{"kid that is a path", parts(`{"alg":"ES256","typ":"at+jwt","kid":"../../../etc/passwd"}`, claims, unsigned), auth.ErrCredentials, "unknown-key"},
		{"kid that is a query", parts(`{"alg":"ES256","typ":"at+jwt","kid":"x' OR 'a'='a"}`, claims, unsigned), auth.ErrCredentials, "unknown-key"},
		{"kid that is a list", parts(`{"alg":"ES256","typ":"at+jwt","kid":["x"]}`, claims, unsigned), auth.ErrUnknown, "not-a-jwt"},
		{"another issuer's key, same names", other.Sign(t, "ES256", map[string]any{"typ": "at+jwt"}, forged), auth.ErrCredentials, "unknown-key"},
		{"and without a kid", other.Sign(t, "ES256", map[string]any{"typ": "at+jwt", "kid": ""}, forged), auth.ErrCredentials, "unknown-key"},
		{"jku", other.Sign(t, "ES256", map[string]any{"typ": "at+jwt", "jku": other.URL + "/keys"}, forged), auth.ErrCredentials, "unknown-key"},
		{"x5u", other.Sign(t, "ES256", map[string]any{"typ": "at+jwt", "x5u": other.URL + "/keys"}, forged), auth.ErrCredentials, "unknown-key"},
		{"crit", crit("exp"), auth.ErrCredentials, "critical-header"},
		{"crit b64", crit("b64"), auth.ErrCredentials, "critical-header"},
		{"claims twice", parts(`{"alg":"ES256","typ":"at+jwt"}`, strings.Replace(claims, "{", `{"aud":"imap",`, 1), unsigned), auth.ErrUnknown, "not-a-jwt"},
		{"issuer twice", parts(`{"alg":"ES256","typ":"at+jwt"}`, strings.Replace(claims, "{", `{"iss":"x",`, 1), unsigned), auth.ErrUnknown, "not-a-jwt"},
		{"deep", parts(`{"alg":"ES256","typ":"at+jwt"}`, `{"a":`+deep+`}`, unsigned), auth.ErrUnknown, "other-issuer"},
		{"deep without end", parts(`{"alg":"ES256","typ":"at+jwt"}`, unclosed, unsigned), auth.ErrUnknown, "not-a-jwt"},
		{"claims that are a list", parts(`{"alg":"ES256","typ":"at+jwt"}`, `["iss"]`, unsigned), auth.ErrUnknown, "not-a-jwt"},
		{"claims that are null", parts(`{"alg":"ES256","typ":"at+jwt"}`, `null`, unsigned), auth.ErrUnknown, "not-a-jwt"},
		{"claims and more", parts(`{"alg":"ES256","typ":"at+jwt"}`, claims+"{}", unsigned), auth.ErrUnknown, "not-a-jwt"},
		{"nested", parts(`{"alg":"ES256","cty":"JWT"}`, good, unsigned), auth.ErrUnknown, "not-a-jwt"},
		{"encrypted", "a.b.c.d.e", auth.ErrUnknown, "not-a-jwt"},
		{"a list of signatures", `{"payload":"","signatures":[]}`, auth.ErrUnknown, "not-a-jwt"},
		{"padding", head + "=." + body + "." + signature, auth.ErrUnknown, "not-a-jwt"},
		{"dots", "..", auth.ErrUnknown, "not-a-jwt"},
		{"opaque", "2YotnFZFEjr1zCsicMWpAA", auth.ErrUnknown, "not-a-jwt"},
		{"long", good + strings.Repeat("A", auth.MaxToken), auth.ErrCredentials, "malformed-token"},
	} {
		t.Run(c.name, func(t *testing.T) { refused(t, a, c.token, c.is, c.reason) })
	}
	if n := other.Requests("/keys"); n != 0 {
		t.Errorf("a token made us ask for keys elsewhere, %d times", n)
	}
	flipped := []byte(good)
	for at := range flipped {
		flipped[at] ^= 1
		if _, err := show(t, a, string(flipped)); err == nil {
			t.Errorf("let in with octet %d changed", at)
		}
		flipped[at] ^= 1
	}
	accepted(t, a, good, "alice")
}

// publicKey returns the issuer's key for RS256 and its name, as PEM, which is
// what careless verifiers take for a secret.
func (w world) publicKey(t testing.TB) (id string, key []byte) {
	t.Helper()
	var set struct {
		Keys []struct{ Kid, Alg, N, E string }
	}
	if err := json.Unmarshal(w.http(t, func(c *http.Client) (*http.Response, error) { return c.Get(w.URL + "/keys") }), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		if k.Alg == "RS256" {
			return k.Kid, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: derOf(t, k.N)})
		}
	}
	t.Fatal("no key for RS256")
	return "", nil
}

func derOf(t testing.TB, n string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(n)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: new(big.Int).SetBytes(b), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	return der
}
