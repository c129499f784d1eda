package userfile_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/auth"
	"kpopd/auth/userfile"
)

const recallLife = time.Hour

// cheap is argon2id of "correct horse battery staple" that takes no time.
const cheap = "{ARGON2ID}$argon2id$v=19$m=256,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$hxPLLiBpfa57qgxuWv9vyCQmEygKFVJ60hWMl7OF4Jo"

const cheapPassword = "correct horse battery staple"

// A right password is recalled, a wrong one never, nor anybody else's, nor where
// its user may not come from.
func TestRecall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, "alice:"+cheap+"::::::allow_nets=192.0.2.0/24", "bob:"+cheap, "plain:{PLAIN}secret")
		f.Recall = auth.NewRecall(recallLife)
		hashed := 0
		for _, user := range []string{"alice", "bob", "plain"} {
			f.Counted(user, &hashed)
		}
		for _, step := range []struct {
			user, password, from string
			want                 string
			hashed               int
		}{
			{"alice", "wrong", "192.0.2.1", "wrong-password", 1},
			{"alice", "wrong", "192.0.2.1", "wrong-password", 1},
			{"alice", cheapPassword, "198.51.100.1", "address-not-allowed", 1},
			{"alice", cheapPassword, "192.0.2.1", "", 1},
			{"alice", cheapPassword, "192.0.2.1", "", 0},
			{"alice", cheapPassword, "192.0.2.2", "", 0},
			{"alice", "wrong", "192.0.2.1", "wrong-password", 1},
			{"alice", "", "192.0.2.1", "wrong-password", 0},
			{"alice", cheapPassword + "\x00", "192.0.2.1", "wrong-password", 0},
			{"alice", cheapPassword, "198.51.100.1", "address-not-allowed", 1},
			{"bob", cheapPassword, "192.0.2.1", "", 1},
			{"plain", "secret", "192.0.2.1", "", 1}, // costs nothing to compare
			{"plain", "secret", "192.0.2.1", "", 1},
		} {
			hashed = 0
			if got := tryFrom(t, f, step.from, step.user, step.password); got != step.want || hashed != step.hashed {
				t.Errorf("%+v: %q, and %d hashes", step, got, hashed)
			}
		}
		time.Sleep(recallLife)
		hashed = 0
		if got := tryFrom(t, f, "192.0.2.1", "alice", cheapPassword); got != "" || hashed != 1 {
			t.Errorf("in the end: %q, and %d hashes", got, hashed)
		}
	})
}

func tryFrom(t *testing.T, f *userfile.File, from, user, password string) string {
	p := auth.Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr(from), 1)}
	_, err := f.Authenticate(t.Context(), p, auth.Password{User: user, Secret: auth.Secret(password)})
	if err == nil {
		return ""
	}
	return auth.Reason(err)
}

// What is recalled belongs to the line: it is of no use once the hash has
// changed or the user has gone, and is again where only other lines changed.
func TestRecallFollowsFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := write(t, "alice:"+cheap, "bob:"+cheap)
		f, err := userfile.Open(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		f.Recall = auth.NewRecall(recallLife)
		other, err := userfile.Hash("SHA512-CRYPT", "other")
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct{ file, alice, bob string }{
			{"", "", ""},
			{"alice:" + other + "\nbob:" + cheap + "\n", "wrong-password", ""},
			{"bob:" + cheap + "\n", "unknown-user", ""},
			{"alice:" + cheap + "\nbob:" + cheap + "::::::allow_nets=192.0.2.7\n", "", "address-not-allowed"},
		} {
			if step.file != "" {
				replace(t, path, step.file)
				time.Sleep(time.Second)
			}
			wants(t, f, "alice", cheapPassword, step.alice)
			wants(t, f, "bob", cheapPassword, step.bob)
		}
		hashed := 0
		f.Counted("alice", &hashed)
		if wants(t, f, "alice", cheapPassword, ""); hashed != 0 {
			t.Error("another line changed, and alice's hash is computed again")
		}
	})
}

// A recalled password costs a MAC.
func TestRecallAllocations(t *testing.T) {
	f := open(t, "alice:"+cheap)
	f.Recall = auth.NewRecall(recallLife)
	login := func() { wants(t, f, "alice", cheapPassword, "") }
	login()
	if n := testing.AllocsPerRun(100, login); n > maxRecallAllocs {
		t.Errorf("%g allocations", n)
	}
}

const maxRecallAllocs = 16

// BenchmarkPassword is what a right password costs, of each kind that Hash
// makes, hashed and recalled.
func BenchmarkPassword(b *testing.B) {
	for _, scheme := range []string{"ARGON2ID", "BLF-CRYPT", "SHA512-CRYPT", "SCRAM-SHA-256", "PLAIN"} {
		for _, recalled := range []bool{false, true} {
			name := scheme + "/hashed"
			if recalled {
				name = scheme + "/recalled"
			}
			b.Run(name, func(b *testing.B) {
				hash, err := userfile.Hash(scheme, "secret")
				if err != nil {
					b.Fatal(err)
				}
				f := open(b, "alice:"+hash)
				if recalled {
					f.Recall = auth.NewRecall(recallLife)
					wants(b, f, "alice", "secret", "")
				}
				b.ReportAllocs()
				for b.Loop() {
					wants(b, f, "alice", "secret", "")
				}
			})
		}
	}
}
