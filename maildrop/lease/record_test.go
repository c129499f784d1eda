package lease_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/lease"
)

var alice = maildrop.Holder{
	Maildrop: "alice", User: "alice@EXAMPLE.TEST", Mechanism: "GSSAPI",
	Client: "192.0.2.7:51234", Listener: "pop3", Conn: "c1",
}

// What a session says of itself is what others are told, whatever it is.
func TestHeld(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	k := open(t, dir)
	long := maildrop.Holder{User: strings.Repeat("\x00\xff\n\" sum=1", 100), Client: "x sum=00000000"}
	for name, h := range map[string]maildrop.Holder{"alice/Maildir": alice, "bob": {}, "eve": long} {
		l, err := k.Lock(maildrop.WithHolder(t.Context(), h), name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Release()
	}
	l, err := k.Lock(t.Context(), "free")
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
	os.WriteFile(filepath.Join(dir, "stale"), (&lease.Record{Token: 1, PID: os.Getpid(), Place: "stale", Since: time.Now()}).Encode(0), 0o600)
	os.Symlink("bob", filepath.Join(dir, "link"))

	all, err := open(t, dir).Held(t.Context())
	if err != nil || len(all) != 3 {
		t.Fatalf("%d records, %v: %+v", len(all), err, all)
	}
	host, _ := os.Hostname()
	for _, r := range all {
		if r.PID != os.Getpid() || r.Host != host || r.Token == 0 || time.Since(r.Since) > time.Hour {
			t.Errorf("%+v", r)
		}
		switch r.Place {
		case "alice/Maildir":
			if r.Holder != alice || r.File != "alice%2FMaildir" {
				t.Errorf("%+v", r)
			}
		case "eve":
			if !strings.HasPrefix(long.User, r.User) || len(r.User) < 64 || r.Client != long.Client {
				t.Errorf("%+v", r)
			}
		}
	}
	if _, held, err := k.Holder("free"); held || err != nil {
		t.Errorf("Holder of what is free = %v, %v", held, err)
	}
}

// A record is of one of two sizes, and never shorter than its file.
func TestRecordSize(t *testing.T) {
	name := strings.Repeat("\u00ad", 256)
	worst := lease.Record{Place: name, Since: time.Now(), Host: name,
		Holder: maildrop.Holder{Maildrop: name, User: name, Mechanism: name, Client: name, Listener: name, Conn: name}}
	for _, test := range []struct {
		r    lease.Record
		old  int64
		want int
	}{
		{lease.Record{Place: "a"}, 0, 512},
		{lease.Record{Place: "a"}, 512, 512},
		{lease.Record{Place: "a"}, 4096, 4096},
		{worst, 0, 4096},
	} {
		text := test.r.Encode(test.old)
		got, sound := lease.ParseRecord(text)
		if len(text) != test.want || !sound || got.Place != test.r.Place || got.Maildrop != test.r.Maildrop {
			t.Errorf("%d octets, want %d; sound: %v; %+v", len(text), test.want, sound, got)
		}
	}
}

// A record that was half written over by another is not taken for one.
func TestTornRecord(t *testing.T) {
	one := lease.Record{Token: 1, PID: 1, Since: time.Unix(1, 0), Place: "alice", Host: "a", Holder: alice}
	two := one
	two.Token, two.PID, two.Since, two.User, two.Conn = 2, 2, time.Unix(2, 0), "bob@EXAMPLE.TEST", "c2"
	a, b := one.Encode(0), two.Encode(0)
	for i := range a {
		torn := append(bytes.Clone(b[:i]), a[i:]...)
		r, sound := lease.ParseRecord(torn)
		if whole := bytes.Equal(torn, a) || bytes.Equal(torn, b); sound != whole {
			t.Errorf("torn at %d: sound = %v: %+v", i, sound, r)
		}
	}
}

// Records of the version before are understood.
func TestOldRecord(t *testing.T) {
	r, sound := lease.ParseRecord(fmt.Appendf(nil, "token=%019d pid=%010d since=2026-11-24T05:47:00Z maildrop=%q\n", 5, 7, "a b"))
	if since := time.Date(2026, 11, 24, 5, 47, 0, 0, time.UTC); !sound || r.Token != 5 || r.PID != 7 || r.Place != "a b" || r.Since != since {
		t.Errorf("%v: %+v", sound, r)
	}
}

func FuzzRecord(f *testing.F) {
	r := lease.Record{Token: 1, PID: 2, Since: time.Unix(3, 0), Place: "alice", Host: "a", Holder: alice}
	f.Add(r.Encode(0))
	f.Add([]byte("token=0001795500000000001 pid=0000001234 since=2026-11-24T05:47:00Z maildrop=\"alice\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, sound := lease.ParseRecord(text)
		if !sound {
			return
		}
		again, sound := lease.ParseRecord(r.Encode(0))
		if len(r.Place) <= 512 && len(r.Maildrop) <= 512 && (!sound || again.Place != r.Place || again.Maildrop != r.Maildrop || again.Token != r.Token) {
			t.Errorf("%+v became %+v", r, again)
		}
	})
}
