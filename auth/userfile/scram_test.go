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
		id, keys, err := f.SCRAM(t.Context(), test.p, test.user, test.hash)
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
	if _, _, err := f.SCRAM(ctx, auth.Peer{}, "user", "SHA-256"); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("after the end of ctx: %v", err)
	}
}

// TestDerivedKeys: what is derived of a PLAIN secret is what Hash would store
// of it, looks like what others have stored, and stays as it is.
func TestDerivedKeys(t *testing.T) {
	_, keys, err := scramFile(t).SCRAM(t.Context(), auth.Peer{}, "plain", "SHA-256")
	if err != nil {
		t.Fatal(err)
	}
	if keys.Iterations != 4096 || string(keys.Salt) != string(auth.SCRAMSalt([]byte("of the test"), "SHA-256", "plain", 16)) {
		t.Errorf("%d iterations, salt %x", keys.Iterations, keys.Salt)
	}
	f := open(t, "plain:"+userfile.EncodeSCRAM("SHA-256", keys))
	wants(t, f, "plain", "pencil", "")
	wants(t, f, "plain", "pencil2", "wrong-password")
	_, again, err := scramFile(t).SCRAM(t.Context(), auth.Peer{}, "plain", "SHA-256")
	if err != nil || string(again.Salt) != string(keys.Salt) || string(again.StoredKey) != string(keys.StoredKey) {
		t.Errorf("other keys from the same file and secret, %v", err)
	}
	other := scramFile(t)
	other.SCRAMSecret = []byte("another")
	if _, again, _ = other.SCRAM(t.Context(), auth.Peer{}, "plain", "SHA-256"); string(again.Salt) == string(keys.Salt) {
		t.Error("the same salt with another secret")
	}
	a, b := open(t, "a:{PLAIN}x"), open(t, "a:{PLAIN}x")
	if string(a.SCRAMSecret) == string(b.SCRAMSecret) || len(a.SCRAMSecret) < 32 {
		t.Error("Open makes no secret of its own")
	}
}
