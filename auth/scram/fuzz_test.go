package scram_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"kpopd/auth"
	"kpopd/auth/scram"
)

// FuzzFirst: what is taken for client-first-message can be put together again,
// and names somebody.
func FuzzFirst(f *testing.F) {
	for _, seed := range []string{
		"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL", "y,a=b=2Cc,n=a=3Db,r=x,t=y", "p=tls-exporter,,n=user,r=x", "n,,m=x,n=user,r=x", "n,,n=,r=",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		user, authzid, nonce, header, bare, err := scram.ParseFirst(b)
		if err != nil {
			if auth.Reason(err) == "internal" {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		if header+bare != string(b) || !strings.HasPrefix(bare, "n="+escape(user)+",r="+nonce) {
			t.Errorf("%q: header %q, bare %q, user %q, nonce %q", b, header, bare, user, nonce)
		}
		if !auth.IsName(user) || authzid != "" && !auth.IsName(authzid) || nonce == "" || strings.Contains(nonce, ",") {
			t.Errorf("%q: user %q, authzid %q, nonce %q", b, user, authzid, nonce)
		}
		if authzid != "" && !strings.HasSuffix(header, ",a="+escape(authzid)+",") {
			t.Errorf("%q: header %q, authzid %q", b, header, authzid)
		}
	})
}

// FuzzFinal: the same of client-final-message.
func FuzzFinal(f *testing.F) {
	for _, seed := range []string{
		"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "c=biws,r=x,t=y,p=AAAA", "c=,r=,p=", "c=biws,p=AAAA,r=x",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		binding, nonce, proof, without, err := scram.ParseFinal(b)
		if err != nil {
			if auth.Reason(err) == "internal" {
				t.Errorf("%q: %v", b, err)
			}
			return
		}
		if without+",p="+base64.StdEncoding.EncodeToString(proof) != string(b) ||
			!strings.HasPrefix(without, "c="+base64.StdEncoding.EncodeToString(binding)+",r="+nonce) {
			t.Errorf("%q: %q, binding %q, nonce %q, proof %x", b, without, binding, nonce, proof)
		}
	})
}
