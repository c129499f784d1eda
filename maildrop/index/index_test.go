package index_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/index"
)

// some are entries of all kinds.
var some = []index.Entry{
	{Name: "1.a:2,S", UID: "1.a", Size: 5, Mark: 7, Sure: true, Extra: 1<<64 - 1},
	{Name: "2.b", UID: "2.b", Size: 1 << 50},
	{Name: "3.c", UID: "UID7-1234", Size: 0, Sure: true},
	{Name: "", UID: "x"},
	{Name: strings.Repeat("n", 255), UID: strings.Repeat("u", 70), Size: 1, Mark: 1<<32 - 1},
}

func build(stamp string, entries ...index.Entry) *index.Index {
	b := index.NewBuilder(0, 0)
	for _, e := range entries {
		if !b.Add(e) {
			panic(fmt.Sprintf("%+v was not taken", e))
		}
	}
	return b.Index(stamp)
}

func entries(x *index.Index) (all []index.Entry) {
	for i := range x.Len() {
		all = append(all, x.Entry(i))
	}
	return all
}

// want checks that x holds these entries.
func want(t *testing.T, x *index.Index, stamp string, entries ...index.Entry) {
	t.Helper()
	if x == nil {
		t.Fatal("there is no index")
	}
	if x.Stamp != stamp || x.Len() != len(entries) || len(x.Messages()) != len(entries) {
		t.Fatalf("index of %d with stamp %q, want %d with %q", x.Len(), x.Stamp, len(entries), stamp)
	}
	for i, e := range entries {
		if got := x.Entry(i); got != e || x.Name(i) != e.Name || x.Extra(i) != e.Extra {
			t.Errorf("entry %d is %+v, want %+v", i, got, e)
		}
		if m := x.Messages()[i]; m != (maildrop.Message{UID: e.UID, Size: e.Size}) {
			t.Errorf("message %d is %v", i, m)
		}
	}
}

func TestIndex(t *testing.T) {
	x := build("stamp", some...)
	want(t, x, "stamp", some...)
	want(t, x.Without(func(i int) bool { return i%2 == 0 }), "", some[1], some[3])
	want(t, x.With(1, some[2]), "", some[0], some[2], some[2], some[3], some[4])
	want(t, build(""), "")
	if (*index.Index)(nil).Len() != 0 {
		t.Error("nil has messages")
	}
	for _, e := range []index.Entry{
		{Name: strings.Repeat("n", 256), UID: "x"}, {Name: "a"}, {UID: strings.Repeat("u", 71)},
		{UID: "a b"}, {UID: "\x7f"}, {UID: "x", Size: -1}, {UID: "x", Size: 1<<50 + 1},
	} {
		if b := index.NewBuilder(0, 0); b.Add(e) || b.Index("").Len() != 0 {
			t.Errorf("%+v was taken", e)
		}
	}
}

func TestMark(t *testing.T) {
	texts := []string{"", "a", "a\n", "a\nb", "b\na", "a\n\n", "a\r\rb"}
	seen := map[uint32]string{}
	for _, text := range texts {
		mark := index.Mark([]byte(text))
		if other, ok := seen[mark]; ok && text != "a\n" && other != "a\n" || mark == 0 {
			t.Errorf("mark %d of %q and %q", mark, text, other)
		}
		seen[mark] = text
		if crlf := index.Mark([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); crlf != mark {
			t.Errorf("%q has another mark with CRLF", text)
		}
	}
	long := strings.Repeat("x", 512)
	if index.Mark([]byte(long)) != index.Mark([]byte(long+"y")) {
		t.Error("more than the beginning counts")
	}
}

// A newCache returns a cache in dir that logs into the buffer.
func newCache(dir string) (*index.Cache, *bytes.Buffer) {
	var log bytes.Buffer
	return &index.Cache{Path: dir, Log: slog.New(slog.NewTextHandler(&log, nil))}, &log
}

// TestCache: another process reads what one wrote, and each notices what the
// other does.
func TestCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	one, log := newCache(dir)
	other, _ := newCache(dir)
	if one.Get("alice") != nil {
		t.Fatal("an empty cache has an index")
	}
	x := build("1", some...)
	one.Put("alice", x)
	if one.Get("alice") != x {
		t.Error("the index is not kept in memory")
	}
	want(t, other.Get("alice"), "1", some...)
	if other.Get("Alice") != nil || other.Get("alice/b") != nil {
		t.Error("another name has the index")
	}
	other.Put("alice", build("2", some[:2]...))
	want(t, one.Get("alice"), "2", some[:2]...)
	one.Put("host/a.b@X", build("3"))
	want(t, other.Get("host/a.b@X"), "3")
	if had, err := other.Forget("alice"); !had || err != nil {
		t.Errorf("Forget = %v, %v", had, err)
	}
	if had, err := other.Forget("nobody"); had || err != nil {
		t.Errorf("Forget(nobody) = %v, %v", had, err)
	}
	if one.Get("alice") != nil || other.Get("alice") != nil {
		t.Error("the index is not forgotten")
	}
	if log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) != 1 || filepath.Base(files[0]) != "host%2Fa.b@X" {
		t.Errorf("files: %q, %v", files, err)
	}
}

// file returns the only file in the directory of indexes.
func file(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files: %q, %v", files, err)
	}
	return files[0]
}

// TestDamage: every file that is not whole, ours, and of this maildrop is as
// good as none, said once each time, and replaced.
func TestDamage(t *testing.T) {
	whole := index.Encode("alice", build("stamp", some...))
	damaged := map[string][]byte{
		"empty": {}, "zeros": make([]byte, len(whole)), "text": []byte("From alice\n"),
		"another's":       index.Encode("bob", build("stamp", some...)),
		"another version": append([]byte("kpopidx\x02"), whole[8:]...),
		"longer":          append(slices.Clone(whole), 0),
	}
	for n := range len(whole) - 1 {
		damaged[fmt.Sprintf("%d octets", n+1)] = whole[:n+1]
	}
	for bit := range len(whole) * 8 {
		b := slices.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		damaged[fmt.Sprintf("bit %d", bit)] = b
	}
	for kind, b := range damaged {
		if x, err := index.Decode("alice", b); err == nil {
			t.Errorf("%s: %d messages", kind, x.Len())
		}
	}
	dir := t.TempDir()
	c, log := newCache(dir)
	for _, kind := range []string{"empty", "another's", "100 octets", "bit 999"} {
		c.Put("alice", build("stamp", some...))
		log.Reset()
		if err := os.WriteFile(file(t, dir), damaged[kind], 0o600); err != nil {
			t.Fatal(err)
		}
		if x := c.Get("alice"); x != nil || !strings.Contains(log.String(), "made anew") {
			t.Errorf("%s: %v; log: %s", kind, x, log)
		}
	}
	c.Put("alice", build("again", some...))
	fresh, _ := newCache(dir)
	want(t, fresh.Get("alice"), "again", some...)
}

// TestUnusable: with a directory that cannot be used there is memory, and one
// line in the log.
func TestUnusable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", path, filepath.Join(path, "below")} {
		c, log := newCache(dir)
		for range 3 {
			c.Put("alice", build("1", some...))
			want(t, c.Get("alice"), "1", some...)
		}
		if lines := strings.Count(log.String(), "\n"); dir != "" && lines != 1 || dir == "" && lines != 0 {
			t.Errorf("%q: log of %d lines: %s", dir, lines, log)
		}
	}
}

// TestUnwritable: where files can be read and not written, memory is ahead of
// them, and the log says so once; when they can be again, the next time too.
func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	c, log := newCache(dir)
	c.Put("alice", build("0"))
	obstacle := filepath.Join(filepath.Dir(file(t, dir)), "~alice")
	for round := 1; round <= 2; round++ {
		if err := os.Mkdir(obstacle, 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			c.Put("alice", build(fmt.Sprint(i), some...))
			want(t, c.Get("alice"), fmt.Sprint(i), some...)
		}
		if lines := strings.Count(log.String(), "\n"); lines != round {
			t.Errorf("log of %d lines: %s", lines, log)
		}
		if err := os.Remove(obstacle); err != nil {
			t.Fatal(err)
		}
		c.Put("alice", build("written", some...))
		other, _ := newCache(dir)
		want(t, other.Get("alice"), "written", some...)
	}
}

// TestRemoved: an administrator may remove everything while the server runs.
func TestRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	c, log := newCache(dir)
	for range 3 {
		c.Put("alice", build("1", some...))
		other, _ := newCache(dir)
		want(t, other.Get("alice"), "1", some...)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if c.Get("alice") != nil {
			t.Error("what was removed is there")
		}
	}
	if log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
}

// TestObstacles: what stands where a file belongs leads nowhere, and is not
// written to.
func TestObstacles(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c, _ := newCache(dir)
	c.Put("alice", build("1"))
	path := file(t, dir)
	for _, name := range []string{path, filepath.Join(filepath.Dir(path), "~alice")} {
		os.Remove(name)
		if err := os.Symlink(victim, name); err != nil {
			t.Fatal(err)
		}
		fresh, _ := newCache(dir)
		if x := fresh.Get("alice"); x != nil {
			t.Errorf("%s: read through a link", name)
		}
		fresh.Put("alice", build("2", some...))
		want(t, fresh.Get("alice"), "2", some...)
		os.Remove(path)
	}
	if text, err := os.ReadFile(victim); string(text) != "precious" || err != nil {
		t.Errorf("the link's target holds %q, %v", text, err)
	}
}

// TestBound: memory is bounded, what was used last stays, and what does not is
// read again.
func TestBound(t *testing.T) {
	c, _ := newCache(t.TempDir())
	c.Memory = 10_000
	c.Put("first", build("1", some...))
	for i := range 200 {
		c.Put(fmt.Sprint(i), build("2", some...))
		if c.Octets() > c.Memory {
			t.Fatalf("%d octets", c.Octets())
		}
		if x := c.Get("first"); x == nil || x != c.Get("first") {
			t.Fatal("what is used all the time does not stay")
		}
	}
	want(t, c.Get("0"), "2", some...)
	large := index.NewBuilder(0, 0)
	for i := range 1000 {
		large.Add(index.Entry{Name: fmt.Sprint(i), UID: "x"})
	}
	c.Put("large", large.Index("3"))
	if c.Octets() > c.Memory || c.Get("large").Len() != 1000 {
		t.Errorf("%d octets with a large one, which has %d messages", c.Octets(), c.Get("large").Len())
	}
}

func TestConcurrent(t *testing.T) {
	c, log := newCache(t.TempDir())
	c.Memory = 2000
	var all sync.WaitGroup
	for who := range 8 {
		all.Go(func() {
			name := fmt.Sprint(who)
			for i := range 100 {
				c.Put(name, build(fmt.Sprint(i), some[:who%5]...))
				if x := c.Get(name); x == nil || x.Stamp != fmt.Sprint(i) || x.Len() != who%5 {
					t.Errorf("%s: %v", name, x)
				}
				c.Get(fmt.Sprint((who + i) % 8))
			}
		})
	}
	all.Wait()
	if log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
}

// FuzzDecode: any octets are an index or an error, and an index is what it
// was when it is written again. A right check is put into every input, or none
// would come far.
func FuzzDecode(f *testing.F) {
	f.Add(index.Encode("alice", build("stamp", some...)))
	f.Add(index.Encode("alice", build("")))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		index.Seal(b)
		x, err := index.Decode("alice", b)
		if err != nil {
			return
		}
		for _, e := range entries(x) {
			if len(e.UID) < 1 || len(e.UID) > 70 || e.Size < 0 {
				t.Errorf("entry %+v", e)
			}
		}
		again, err := index.Decode("alice", index.Encode("alice", x))
		if err != nil || again.Stamp != x.Stamp || !slices.Equal(entries(again), entries(x)) {
			t.Errorf("%v: %+v became %+v", err, entries(x), entries(again))
		}
	})
}

func BenchmarkCache(b *testing.B) {
	builder := index.NewBuilder(0, 0)
	const messages = 100_000
	for i := range messages {
		name := fmt.Sprintf("%d.M%06dP1234Q1.pop.example.test,S=4096,W=4160", 1_700_000_000+i, i)
		builder.Add(index.Entry{Name: name + ":2,S", UID: name, Size: 4160})
	}
	x := builder.Index("1")
	dir := b.TempDir()
	c, _ := newCache(dir)
	b.Run("put", func(b *testing.B) {
		for b.Loop() {
			c.Put("alice", x)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fresh, _ := newCache(dir)
			if fresh.Get("alice").Len() != messages {
				b.Fatal("not all")
			}
		}
	})
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
			c.Get("alice")
		}
		b.ReportMetric(float64(c.Octets())/messages, "octets/message")
	})
}
