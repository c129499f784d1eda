package auth_test

import (
	"bytes"
	"testing"

	"kpopd/auth"
)

func TestSCRAMSalt(t *testing.T) {
	secret := []byte("secret")
	salt := auth.SCRAMSalt(secret, "SHA-256", "j\u00fcrgen", 64)
	if len(salt) != 64 {
		t.Fatalf("%d octets", len(salt))
	}
	for what, same := range map[string][]byte{
		"again": auth.SCRAMSalt(secret, "SHA-256", "j\u00fcrgen", 64), "not prepared": auth.SCRAMSalt(secret, "SHA-256", "ju\u0308rgen", 64),
	} {
		if !bytes.Equal(salt, same) {
			t.Errorf("%s: %x, want %x", what, same, salt)
		}
	}
	for what, other := range map[string][]byte{
		"secret": auth.SCRAMSalt([]byte("Secret"), "SHA-256", "j\u00fcrgen", 64),
		"hash":   auth.SCRAMSalt(secret, "SHA-1", "j\u00fcrgen", 64),
		"user":   auth.SCRAMSalt(secret, "SHA-256", "J\u00fcrgen", 64),
	} {
		if bytes.Equal(salt[:16], other[:16]) {
			t.Errorf("another %s has the same salt", what)
		}
	}
}

func TestIsName(t *testing.T) {
	for name, want := range map[string]bool{
		"alice": true, "j\u00fcrgen@host": true, string(bytes.Repeat([]byte("x"), 255)): true,
		"": false, string(bytes.Repeat([]byte("x"), 256)): false, "a\x00": false, "a\n": false, "\xff": false, "a\u2028": false,
	} {
		if auth.IsName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
