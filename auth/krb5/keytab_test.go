package krb5

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/auth"
)

func testKey(p Principal, kvno uint32, etype int32, fill byte) Key {
	return Key{Principal: p, Kvno: kvno, Etype: etype, Created: time.Unix(1700000000, 0), secret: bytes.Repeat([]byte{fill}, keyLength(etype))}
}

// rawEntry is a keytab entry of version 2 without its size and without the
// 32-bit version of the key.
func rawEntry(p Principal, kvno uint8, etype int16, secret []byte) []byte {
	e := binary.BigEndian.AppendUint16(nil, uint16(len(p.Components)))
	for _, s := range append([]string{p.Realm}, p.Components...) {
		e = append(binary.BigEndian.AppendUint16(e, uint16(len(s))), s...)
	}
	e = append(e, 0, 0, 0, 1, 0, 0, 0, 2, kvno)
	e = binary.BigEndian.AppendUint16(e, uint16(etype))
	return append(binary.BigEndian.AppendUint16(e, uint16(len(secret))), secret...)
}

func rawKeytab(entries ...[]byte) []byte {
	b := []byte{5, 2}
	for _, e := range entries {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(e))), e...)
	}
	return b
}

func TestParseKeytab(t *testing.T) {
	want := []Key{testKey(popService, 1, 17, 1), testKey(popService, 300, 20, 2), testKey(principal("a/b/c@R"), 0x80000001, 18, 3)}
	got, err := parseKeytab(appendKeytab(nil, want))
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for i, k := range got {
		if !k.Principal.Equal(want[i].Principal) || !k.same(want[i]) || k.narrow || !k.Created.Equal(want[i].Created) {
			t.Errorf("key %d is %s, want %s", i, k, want[i])
		}
	}
}

func TestParseKeytabForms(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	entry := rawEntry(popService, 44, 18, secret)
	hole := []byte{0xff, 0xff, 0xff, 0xfb, 1, 2, 3, 4, 5} // of five octets
	for _, test := range []struct {
		name   string
		b      []byte
		kvno   uint32
		narrow bool
	}{
		{"eight-bit version", rawKeytab(entry), 44, true},
		{"32-bit version", rawKeytab(append(entry[:len(entry):len(entry)], 0, 0, 1, 44)), 300, false},
		{"32-bit version of zero", rawKeytab(append(entry[:len(entry):len(entry)], 0, 0, 0, 0)), 44, true},
		{"octets behind", rawKeytab(append(entry[:len(entry):len(entry)], 0, 0, 1, 44, 9, 9)), 300, false},
		{"hole before", append(append([]byte{5, 2}, hole...), rawKeytab(entry)[2:]...), 44, true},
		{"hole behind", append(rawKeytab(entry), hole...), 44, true},
		{"padding", append(rawKeytab(entry), make([]byte, 64)...), 44, true},
		{"other enctypes", rawKeytab(rawEntry(popService, 1, 23, secret[:16]), entry, rawEntry(popService, 1, 3, secret[:8])), 44, true},
	} {
		keys, err := parseKeytab(test.b)
		if err != nil || len(keys) != 1 {
			t.Errorf("%s: %v, %v", test.name, keys, err)
			continue
		}
		k := keys[0]
		if k.Kvno != test.kvno || k.narrow != test.narrow || !bytes.Equal(k.secret, secret) || !k.Principal.Equal(popService) || k.Created.Unix() != 2 {
			t.Errorf("%s: %s, narrow %t", test.name, k, k.narrow)
		}
	}
}

// Version 1 counts the realm, has no name type, and has the machine's order.
func TestParseKeytabVersion1(t *testing.T) {
	o := binary.NativeEndian
	e := o.AppendUint16(nil, 3)
	for _, s := range []string{testRealm, "pop", "localhost"} {
		e = append(o.AppendUint16(e, uint16(len(s))), s...)
	}
	e = append(o.AppendUint32(e, 2), 9)
	e = o.AppendUint16(o.AppendUint16(e, 17), 16)
	e = append(e, bytes.Repeat([]byte{7}, 16)...)
	b := append(o.AppendUint32([]byte{5, 1}, uint32(len(e))), e...)
	keys, err := parseKeytab(b)
	if err != nil || len(keys) != 1 || !keys[0].Principal.Equal(popService) || keys[0].Kvno != 9 || keys[0].Etype != 17 {
		t.Errorf("%v, %v", keys, err)
	}
}

func TestParseKeytabRefuses(t *testing.T) {
	secret := []byte("SECRETSECRETSECRETSECRETSECRETSE")
	entry := rawEntry(popService, 1, 18, secret)
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"one octet":           {5},
		"text":                []byte("SECRETSECRET"),
		"version 3":           {5, 3},
		"credentials cache":   {5, 4, 0, 0},
		"truncated":           rawKeytab(entry)[:50],
		"truncated entry":     rawKeytab(entry[:len(entry)-1]),
		"entry of one octet":  rawKeytab([]byte{0}),
		"long hole":           {5, 2, 0x80, 0, 0, 0},
		"long entry":          {5, 2, 0x7f, 0xff, 0xff, 0xff, 1},
		"short key":           rawKeytab(rawEntry(popService, 1, 18, secret[:5])),
		"long key":            rawKeytab(rawEntry(popService, 1, 17, secret)),
		"24-octet key":        rawKeytab(rawEntry(popService, 1, 20, secret[:24])),
		"no components":       rawKeytab(rawEntry(Principal{nil, testRealm}, 1, 18, secret)),
		"many components":     rawKeytab(append([]byte{0xff, 0xff}, entry[2:]...)),
		"control characters":  rawKeytab(rawEntry(Principal{[]string{"SECRET\x00"}, testRealm}, 1, 18, secret)),
		"empty realm":         rawKeytab(rawEntry(Principal{[]string{"pop", "h"}, ""}, 1, 18, secret)),
		"second is truncated": rawKeytab(entry, entry)[:2+4+len(entry)+20],
	} {
		keys, err := parseKeytab(b)
		if err == nil {
			t.Errorf("%s: read as %v", name, keys)
		} else if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: the error shows what it read: %v", name, err)
		}
	}
}

func TestKeySetLookup(t *testing.T) {
	other := principal("pop/other@" + testRealm)
	wide, narrow := testKey(popService, 300, 18, 3), testKey(popService, 44, 18, 4)
	narrow.narrow = true
	gone := testKey(popService, 9, 18, 5)
	gone.retired = time.Now().Add(time.Hour)
	past := testKey(popService, 8, 18, 6)
	past.retired = time.Now().Add(-time.Hour)
	first := testKey(popService, 1, 18, 1)
	first.Created = time.Now() // an old key whose entry was written last
	s := newKeySet([]Key{
		first, testKey(popService, 2, 18, 2), testKey(popService, 2, 17, 2), wide, narrow, gone, past,
		testKey(other, 2, 18, 7), testKey(principal("imap/localhost@"+testRealm), 2, 18, 8), testKey(principal("pop/localhost@OTHER"), 2, 18, 9),
	})
	for _, test := range []struct {
		sname string
		kvno  int
		etype int32
		want  string // the fill of each candidate, in order
	}{
		{"pop/localhost@EXAMPLE.TEST", 1, 18, "1"},
		{"pop/localhost@EXAMPLE.TEST", 2, 18, "2"},
		{"pop/localhost@EXAMPLE.TEST", 2, 17, "2"},
		{"pop/localhost@EXAMPLE.TEST", 300, 18, "34"}, // 44 is 300 modulo 256
		{"pop/localhost@EXAMPLE.TEST", 44, 18, "4"},
		{"pop/localhost@EXAMPLE.TEST", 9, 18, "5"},    // retired
		{"pop/localhost@EXAMPLE.TEST", 8, 18, "3"},    // retired too long ago: the newest
		{"pop/localhost@EXAMPLE.TEST", 77, 18, "3"},   // the newest
		{"pop/localhost@EXAMPLE.TEST", 0, 18, "3421"}, // any, newest first, no more than four
		{"pop/localhost@EXAMPLE.TEST", 1, 19, ""},
		{"pop/localhost@OTHER", 2, 18, "9"},
		{"pop/LOCALHOST@EXAMPLE.TEST", 2, 18, "27"}, // unknown: its service
		{"pop/localhost@NOWHERE", 2, 18, ""},
		{"http/localhost@EXAMPLE.TEST", 2, 18, ""},
	} {
		var got string
		for _, k := range s.Lookup(principal(test.sname), test.kvno, test.etype) {
			got += fmt.Sprint(k.secret[0])
		}
		if got != test.want {
			t.Errorf("Lookup(%s, %d, %d) gives %q, want %q", test.sname, test.kvno, test.etype, got, test.want)
		}
	}
	if got := fmt.Sprint(s.Realms(), s.Principals(), s.HasService("pop"), s.HasService("http")); got !=
		"[EXAMPLE.TEST OTHER] [imap/localhost@EXAMPLE.TEST pop/localhost@EXAMPLE.TEST pop/localhost@OTHER pop/other@EXAMPLE.TEST] true false" {
		t.Error(got)
	}
	var none *KeySet
	if none.Lookup(popService, 1, 18) != nil || none.Realms() != nil || none.HasService("pop") || none.Principals() != nil || none.Knows(popService) || none.All() != nil {
		t.Error("a nil set is not empty")
	}
}

// Nothing that holds a key prints it.
func TestKeysDoNotPrint(t *testing.T) {
	a, m := newTestAcceptor(t)
	ticket := issue(t, m, alice, popService, TicketOptions{})
	c, err := a.Accept(t.Context(), request(t, ticket, RequestOptions{}), testPeer)
	if err != nil {
		t.Fatal(err)
	}
	k := testKey(popService, 1, 18, 0x5a)
	k.secret = []byte("SECRETSECRETSECRETSECRETSECRETSE")
	c.SessionKey.KeyValue, ticket.Session.KeyValue = k.secret, k.secret
	var b strings.Builder
	log := slog.New(slog.NewTextHandler(&b, nil))
	for _, v := range []any{k, &k, []Key{k}, c, ticket} {
		fmt.Fprintf(&b, "%v %+v %#v %s %x %d %q", v, v, v, v, v, v, v)
		log.Info("x", "v", v)
	}
	for _, leak := range []string{"SECRET", "83 69 67", "534543", "0x53"} {
		if strings.Contains(b.String(), leak) {
			t.Errorf("%q in %s", leak, b.String())
		}
	}
}

// write replaces a keytab file.
func writeKeytab(t *testing.T, path string, keys ...Key) {
	t.Helper()
	if err := writeSecret(path, appendKeytab(nil, keys)); err != nil {
		t.Fatal(err)
	}
}

// second lets the clock of a synctest bubble pass a check interval.
func second() { time.Sleep(checkInterval) }

func TestKeytabReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		path := filepath.Join(t.TempDir(), "keytab")
		one, two := testKey(popService, 1, 18, 1), testKey(popService, 2, 18, 2)
		writeKeytab(t, path, one)
		k, err := LoadKeytab(path, KeytabOptions{KeepOld: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		candidates := func(kvno int) int { return len(k.Keys().Lookup(popService, kvno, 18)) }
		first := k.Keys()

		writeKeytab(t, path, two) // replaced where it should have been added to
		if k.Keys() != first {
			t.Error("looked at the file twice within a second")
		}
		second()
		if k.Keys() == first {
			t.Fatal("the file was not read again")
		}
		if got := k.Keys().Lookup(popService, 1, 18); len(got) != 1 || !got[0].same(one) {
			t.Errorf("the old key is not kept: %v", got)
		}
		if got := k.Keys().Lookup(popService, 2, 18); len(got) != 1 || !got[0].same(two) {
			t.Errorf("the new key is not there: %v", got)
		}
		same := k.Keys()
		second()
		if k.Keys() != same {
			t.Error("an unchanged file was read again")
		}
		time.Sleep(time.Hour)
		if got := k.Keys().Lookup(popService, 1, 18); len(got) != 1 || !got[0].same(two) {
			t.Errorf("the old key is kept too long: %v", got)
		}

		// A file that is not to be used changes nothing, and is complained of once.
		for name, spoil := range map[string]func() error{
			"removed":        func() error { return os.Remove(path) },
			"empty":          func() error { return os.WriteFile(path, nil, 0o600) },
			"garbage":        func() error { return os.WriteFile(path, []byte("SECRET"), 0o600) },
			"another's":      func() error { return writeSecret(path, appendKeytab(nil, []Key{testKey(wrongService, 1, 18, 1)})) },
			"short key":      func() error { return writeSecret(path, rawKeytab(rawEntry(popService, 3, 18, []byte("SECRET")))) },
			"world-readable": func() error { writeKeytab(t, path, one); return os.Chmod(path, 0o604) },
			"a directory":    func() error { os.Remove(path); return os.Mkdir(path, 0o700) },
		} {
			log.Reset()
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				second()
				if candidates(2) != 1 {
					t.Errorf("%s: the keys are gone", name)
				}
			}
			if n := strings.Count(log.String(), "level=ERROR"); n != 1 || strings.Contains(log.String(), "SECRET") {
				t.Errorf("%s: log %s", name, log.String())
			}
			if err := k.Reload(); err == nil {
				t.Errorf("%s: reloaded", name)
			}
			os.Remove(path)
			writeKeytab(t, path, two)
			second()
			k.Keys()
			second()
			k.Keys()
		}

		// Added to, as it should be; and by hand, within the second.
		writeKeytab(t, path, two, testKey(popService, 3, 18, 3))
		if err := k.Reload(); err != nil || candidates(3) != 1 || candidates(2) != 1 {
			t.Errorf("reload: %v", err)
		}
	})
}

// TestKeytabSameTimes replaces keys by others of the same size in the same file,
// whose times are put back, as programs do that copy files with their times.
func TestKeytabSameTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keytab")
		writeKeytab(t, path, testKey(popService, 1, 18, 1))
		k, err := LoadKeytab(path, KeytabOptions{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		two := testKey(popService, 2, 18, 2)
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, appendKeytab(nil, []Key{two}), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, before.ModTime(), before.ModTime()); err != nil {
			t.Fatal(err)
		}
		second()
		if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
			t.Fatal("the file can be told from the one before", err)
		}
		if got := k.Keys().Lookup(popService, 2, 18); len(got) != 1 || !got[0].same(two) {
			t.Errorf("the new keys are not there: %v", got)
		}
	})
}

func TestLoadKeytabRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keytab")
	load := func(o KeytabOptions) error {
		_, err := LoadKeytab(path, o)
		return err
	}
	if load(KeytabOptions{}) == nil {
		t.Error("loaded a file that is not there")
	}
	writeKeytab(t, path, testKey(popService, 1, 18, 1))
	if err := load(KeytabOptions{Service: "imap"}); err == nil || !strings.Contains(err.Error(), "imap/*") {
		t.Errorf("another service: %v", err)
	}
	for mode, fine := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o644: false, 0o606: false, 0o601: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		err := load(KeytabOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if (err == nil) != fine {
			t.Errorf("mode %04o: %v", mode, err)
		}
		if warned := strings.Contains(log.String(), "level=WARN"); warned != (mode == 0o640) {
			t.Errorf("mode %04o: log %s", mode, log.String())
		}
	}
}

// A ticket that the KDC issued before the key changed is good afterwards, and
// one with a version that the keytab numbers otherwise is too.
func TestAcceptKvnoOverlap(t *testing.T) {
	m := newTestMint(t)
	path := filepath.Join(t.TempDir(), "keytab")
	if err := m.WriteKeytab(path); err != nil {
		t.Fatal(err)
	}
	k, err := LoadKeytab(path, KeytabOptions{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a := &Acceptor{Keys: k, Replay: new(onceMap)}
	old := issue(t, m, alice, popService, TicketOptions{})
	if err := m.AddKey(popService, 2, 20); err != nil {
		t.Fatal(err)
	}
	young := issue(t, m, alice, popService, TicketOptions{Etype: 20})
	misnumbered := issue(t, m, alice, popService, TicketOptions{Etype: 20, Kvno: 5})
	if _, err := a.Accept(t.Context(), request(t, young, RequestOptions{}), testPeer); auth.Reason(err) != "no-key" {
		t.Errorf("before the reload: %v", err)
	}
	m.RemoveKeys(popService, 2)
	if err := m.WriteKeytab(path); err != nil {
		t.Fatal(err)
	}
	if err := k.Reload(); err != nil {
		t.Fatal(err)
	}
	for name, ticket := range map[string]*Ticket{"old": old, "young": young, "misnumbered": misnumbered} {
		if _, err := a.Accept(t.Context(), request(t, ticket, RequestOptions{}), testPeer); err != nil {
			t.Errorf("%s ticket: %v", name, err)
		}
	}
}

// Keys are asked for from many sessions while the file changes.
func TestKeytabConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keytab")
	writeKeytab(t, path, testKey(popService, 1, 18, 1))
	k, err := LoadKeytab(path, KeytabOptions{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			k.checked.Store(-int64(time.Hour)) // as if a second had passed
			if !k.Keys().HasService("pop") {
				t.Errorf("round %d: no keys", i)
			}
		}
	}()
	for i := range uint32(200) {
		writeKeytab(t, path, testKey(popService, i+1, 18, byte(i)))
		if k.Keys() == nil {
			t.Fatal("no keys")
		}
		if err := k.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	<-done
}

func FuzzKeytab(f *testing.F) {
	m := newTestMint(f)
	f.Add(appendKeytab(nil, m.Keys().All()))
	f.Add(rawKeytab(rawEntry(popService, 1, 23, make([]byte, 16)), rawEntry(popService, 2, 18, make([]byte, 32))))
	f.Add([]byte{5, 2, 0xff, 0xff, 0xff, 0xfe, 0, 0})
	f.Add([]byte{5, 1, 4, 0, 0, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeytab(b)
		if err != nil {
			return
		}
		for _, k := range keys {
			if !wellFormedKey(k.encryptionKey()) || k.Principal.Valid() != nil {
				t.Errorf("bad key %s", k)
			}
		}
		back, err := parseKeytab(appendKeytab(nil, keys))
		if err != nil || len(back) != len(keys) {
			t.Errorf("%v written and read is %v, %v", keys, back, err)
		}
		newKeySet(keys).Lookup(popService, 1, 18)
	})
}

// TestKeytabPrepare: what was prepared has no effect before it is committed.
func TestKeytabPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keytab")
		one, two := testKey(popService, 1, 18, 1), testKey(popService, 2, 18, 2)
		writeKeytab(t, path, one)
		k, err := LoadKeytab(path, KeytabOptions{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		first := k.Keys()
		writeKeytab(t, path, two)
		keys, commit, err := k.Prepare()
		if err != nil || len(keys.Lookup(popService, 2, 18)) != 1 {
			t.Fatalf("prepared %v, %v", keys, err)
		}
		if k.Keys() != first {
			t.Error("in use before it was committed")
		}
		commit()
		if set := k.Keys(); len(set.Lookup(popService, 2, 18)) != 1 || len(set.Lookup(popService, 1, 18)) != 1 {
			t.Errorf("not in use, or without the old key: %v", set)
		}
		os.Remove(path)
		if _, _, err := k.Prepare(); err == nil {
			t.Error("prepared a file that is not there")
		}
	})
}
