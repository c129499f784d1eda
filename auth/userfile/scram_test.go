package userfile_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"kpopd/auth"
	"kpopd/auth/userfile"
)

var insideNet = auth.Peer{Addr: netip.MustParseAddrPort("192.0.2.7:110")}

// scramFile is a file with users of every kind, whose derived salts are always
// the same.
func scramFile(t testing.TB) *userfile.File {
	f := open(t, "user:{SCRAM-SHA-256}"+pencil, "old:{SCRAM-SHA-1}"+pencil1, "hashed:{CRYPT}"+sha512Hash,
		"plain:{PLAIN}p\u00adencil", "far:{PLAIN}tanstaaf::::::allow_nets=192.0.2.0/24")
	f.SCRAMSecret = []byte("of the test")
	return f
}

func TestSCRAMUsers(t *testing.T) {
	f := scramFile(t)
	for _, test := range []struct {
		user, hash, reason string
		p                  auth.Peer
	}{
		{"user", "SHA-256", "", auth.Peer{}},
		{"user", "SHA-1", "no-scram-keys", auth.Peer{}},
		{"old", "SHA-1", "", auth.Peer{}},
		{"old", "SHA-256", "no-scram-keys", auth.Peer{}},
		{"hashed", "SHA-256", "no-scram-keys", auth.Peer{}},
		{"plain", "SHA-256", "", auth.Peer{}},
		{"plain", "SHA-1", "", auth.Peer{}},
		{"far", "SHA-256", "", insideNet},
		{"far", "SHA-256", "address-not-allowed", auth.Peer{}},
		{"mallory", "SHA-256", "unknown-user", auth.Peer{}},
		{"User", "SHA-256", "unknown-user", auth.Peer{}},
		{"", "SHA-256", "unknown-user", auth.Peer{}},
	} {
		var id auth.Identity
		user, err := f.SCRAM(t.Context(), test.p, test.user, test.hash)
		if err == nil {
			id, err = user.Admit(t.Context())
		}
		keys := user.Keys
		if err == nil != (test.reason == "") || err != nil && auth.Reason(err) != test.reason {
			t.Errorf("%s, %s: %v, want %q", test.user, test.hash, err, test.reason)
		}
		if err == nil && (id.User != test.user || id.Source != "file" || len(keys.StoredKey) == 0) || err != nil && id.User != "" {
			t.Errorf("%s, %s: %+v, %v", test.user, test.hash, id, err)
		}
	}
	for hash, want := range map[string]int{"SHA-1": 3, "SHA-256": 3} {
		if have, all := f.SCRAMUsers(hash); have != want || all != 5 {
			t.Errorf("%s: %d of %d", hash, have, all)
		}
	}
	if iterations, salt := f.SCRAMParameters("SHA-256"); iterations != 4096 || salt != 16 {
		t.Errorf("SHA-256: %d iterations, %d octets of salt", iterations, salt)
	}
	if iterations, salt := f.SCRAMParameters("SHA-1"); iterations != 4096 || salt != 12 {
		t.Errorf("SHA-1: %d iterations, %d octets of salt", iterations, salt)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.SCRAM(ctx, auth.Peer{}, "user", "SHA-256"); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("after the end of ctx: %v", err)
	}
}

// keysOf returns a user's keys for SHA-256.
func keysOf(t testing.TB, f *userfile.File, user string) auth.SCRAMKeys {
	t.Helper()
	u, err := f.SCRAM(t.Context(), auth.Peer{}, user, "SHA-256")
	if err != nil {
		t.Fatal(err)
	}
	return u.Keys
}

// TestSCRAMSpelling: a client sends what SASLprep makes of a name (RFC 5802
// §5.1), or what was typed. Whose name is stored otherwise has keys by both,
// unless SASLprep makes two users one.
func TestSCRAMSpelling(t *testing.T) {
	f := open(t, "ju\u0308rgen:{SCRAM-SHA-256}"+pencil, "\u2168:{PLAIN}nine", "ix:{PLAIN}x", "IX:{PLAIN}y",
		"\uff41:{PLAIN}wide", "a\u00ad:{PLAIN}soft")
	for name, want := range map[string]string{
		"j\u00fcrgen": "ju\u0308rgen", "ju\u0308rgen": "ju\u0308rgen", "\u2168": "\u2168", "IX": "IX", "\uff41": "\uff41", "a": "", "\u1d43": "",
	} {
		u, err := f.SCRAM(t.Context(), auth.Peer{}, name, "SHA-256")
		if want == "" {
			if !errors.Is(err, auth.ErrUnknown) {
				t.Errorf("%q: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if id, err := u.Admit(t.Context()); err != nil || id.User != want {
			t.Errorf("%q: %q, %v", name, id.User, err)
		}
	}
	wants(t, f, "j\u00fcrgen", "pencil", "") // nor is it otherwise with passwords
}

// TestDerivedKeys: what is derived of a PLAIN secret is what Hash would store
// of it, looks like what others have stored, and stays as it is.
func TestDerivedKeys(t *testing.T) {
	keys := keysOf(t, scramFile(t), "plain")
	if keys.Iterations != 4096 || string(keys.Salt) != string(auth.SCRAMSalt([]byte("of the test"), "SHA-256", "plain", 16)) {
		t.Errorf("%d iterations, salt %x", keys.Iterations, keys.Salt)
	}
	f := open(t, "plain:"+userfile.EncodeSCRAM("SHA-256", keys))
	wants(t, f, "plain", "pencil", "")
	wants(t, f, "plain", "pencil2", "wrong-password")
	again := keysOf(t, scramFile(t), "plain")
	if string(again.Salt) != string(keys.Salt) || string(again.StoredKey) != string(keys.StoredKey) {
		t.Error("other keys from the same file and secret")
	}
	other := scramFile(t)
	other.SCRAMSecret = []byte("another")
	if again := keysOf(t, other, "plain"); string(again.Salt) == string(keys.Salt) {
		t.Error("the same salt with another secret")
	}
	a, b := open(t, "a:{PLAIN}x"), open(t, "a:{PLAIN}x")
	if string(a.SCRAMSecret) == string(b.SCRAMSecret) || len(a.SCRAMSecret) < 32 {
		t.Error("Open makes no secret of its own")
	}
}
