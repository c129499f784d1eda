package testenv

import (
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// handler serves the issuer's endpoints.
func (i *Issuer) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET /.well-known/openid-configuration": i.serveDiscovery,
		"GET /keys":                             func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, i.published()) },
		"POST /token":                           i.serveToken,
		"POST /introspect":                      i.serveIntrospection,
		"POST /revoke":                          i.serveRevocation,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /realms/example"+path, func(w http.ResponseWriter, r *http.Request) {
			if !i.breaks(w, r) {
				serve(w, r)
			}
		})
	}
	return mux
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func oauthError(w http.ResponseWriter, status int, code string) {
	answer(w, status, map[string]string{"error": code}) // RFC 6749 §5.2
}

// serveDiscovery serves the document of OpenID Connect Discovery §4.2.
func (i *Issuer) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": i.URL, "jwks_uri": i.URL + "/keys", "token_endpoint": i.URL + "/token",
		"introspection_endpoint": i.URL + "/introspect", "revocation_endpoint": i.URL + "/revoke",
		"grant_types_supported":                 []string{"password", "client_credentials"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
		"subject_types_supported":               []string{"public"},
	})
}

// isClient reports whether a request proves a client, by Basic or in the form
// (RFC 6749 §2.3.1).
func isClient(r *http.Request, name, secret string) bool {
	id, proof, ok := r.BasicAuth()
	if ok {
		id, _ = url.QueryUnescape(id)
		proof, _ = url.QueryUnescape(proof)
	} else {
		id, proof = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	return id == name && proof == secret
}

// serveToken serves RFC 6749 §4.3 and §4.4. With the scope "openid" there is an
// ID token as well.
func (i *Issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	if !isClient(r, TokenClient, TokenSecret) {
		oauthError(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	user, scope := r.PostFormValue("username"), r.PostFormValue("scope")
	switch r.PostFormValue("grant_type") {
	case "client_credentials":
		user = TokenClient
	case "password":
		if user == "" || r.PostFormValue("password") != user+"-password" {
			oauthError(w, http.StatusBadRequest, "invalid_grant")
			return
		}
	default:
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	claims := i.claims(user, scope)
	text, err := i.issue(claims)
	reply := map[string]any{"access_token": text, "token_type": "Bearer", "expires_in": 3600, "scope": scope}
	if err == nil && strings.Contains(scope, "openid") {
		reply["id_token"], err = i.idToken(claims)
	}
	if err != nil {
		oauthError(w, http.StatusInternalServerError, "server_error")
		return
	}
	answer(w, http.StatusOK, reply)
}

// idToken makes the ID token beside an access token (OpenID Connect Core §2).
func (i *Issuer) idToken(access map[string]any) (string, error) {
	id := map[string]any{"aud": TokenClient, "nonce": "n-0S6_WzA2Mj"}
	for _, name := range []string{"iss", "sub", "iat", "exp", "preferred_username", "email"} {
		id[name] = access[name]
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.sign("ES256", map[string]any{"typ": "JWT"}, id)
}

// serveIntrospection serves RFC 7662 §2.
func (i *Issuer) serveIntrospection(w http.ResponseWriter, r *http.Request) {
	if !isClient(r, AskClient, AskSecret) {
		oauthError(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	claims := i.known(r.PostFormValue("token"))
	if claims == nil {
		answer(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	claims["active"], claims["username"] = true, claims["preferred_username"]
	if claims["token_type"] == nil {
		claims["token_type"] = "Bearer"
	}
	answer(w, http.StatusOK, claims)
}

// serveRevocation serves RFC 7009 §2: success, whether or not there was such a
// token.
func (i *Issuer) serveRevocation(w http.ResponseWriter, r *http.Request) {
	if !isClient(r, TokenClient, TokenSecret) {
		oauthError(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	i.revoke(r.PostFormValue("token"))
}

// flood answers with JSON without end, compressed so that it costs the issuer
// little.
func (i *Issuer) flood(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	z.Write([]byte(`{"issuer":"`))
	for block := []byte(strings.Repeat("x", 1<<16)); r.Context().Err() == nil; {
		if _, err := z.Write(block); err != nil {
			return
		}
	}
}
