package uidl_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kpopd/maildrop/durable"
	"kpopd/maildrop/storetest"
	"kpopd/maildrop/uidl"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func openDir(t testing.TB) (*durable.Dir, string) {
	t.Helper()
	path := storetest.TempDir(t)
	d, err := durable.Open(path)
	must(t, err)
	t.Cleanup(func() { d.Close() })
	return d, path
}

// bases of every odd kind that a file may be called.
var bases = []string{"1328372225.M12P7.old.example,S=10,W=12", "with space", "per%cent", "%41", "Gr\xfc\xdfe\n", "end", strings.Repeat("\xff", 255)}

func sample(t testing.TB) *uidl.List {
	t.Helper()
	l := new(uidl.List)
	for i, base := range bases {
		must(t, l.Add(base, uidl.Row{UID: fmt.Sprintf("uid-%d", i), Order: uint32(len(bases) - i), Size: int64(i) * 1000, Hidden: i%2 == 1}))
	}
	must(t, l.Add("unordered", uidl.Row{UID: strings.Repeat("~", 70), Hidden: true}))
	return l
}

func rows(l *uidl.List) (all []string) {
	for base, r := range l.All() {
		all = append(all, fmt.Sprintf("%q %v", base, r))
	}
	return all
}

// What is stored is what is loaded.
func TestStore(t *testing.T) {
	d, path := openDir(t)
	if l, err := uidl.Load(d); l != nil || err != nil {
		t.Fatalf("of nothing: %v, %v", l, err)
	}
	l := sample(t)
	must(t, os.WriteFile(filepath.Join(path, uidl.Name+".tmp"), []byte("left by a crash"), 0o600))
	for range 2 {
		must(t, l.Store(d))
		got, err := uidl.Load(d)
		must(t, err)
		if !slices.Equal(rows(got), rows(l)) || got.Len() != l.Len() {
			t.Fatalf("got  %q\nwant %q", rows(got), rows(l))
		}
		for base, want := range l.All() {
			if r, ok := got.Find(base); !ok || r != want {
				t.Errorf("Find(%q) = %v, %v", base, r, ok)
			}
			if b, ok := got.Owner(want.UID); !ok || b != base {
				t.Errorf("Owner(%q) = %q, %v", want.UID, b, ok)
			}
		}
		must(t, l.Hide(bases[0], "uid-0", true))
	}
	if entries, err := os.ReadDir(path); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: more than the file is left", entries, err)
	}
}

func TestOrder(t *testing.T) {
	l := new(uidl.List)
	must(t, l.Add("b", uidl.Row{UID: "1"}))
	must(t, l.Add("a", uidl.Row{UID: "2"}))
	must(t, l.Add("z", uidl.Row{UID: "3", Order: 2}))
	must(t, l.Add("y", uidl.Row{UID: "4", Order: 1<<32 - 1}))
	var got []string
	for base := range l.All() {
		got = append(got, base)
	}
	if want := []string{"z", "y", "a", "b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAddRefuses(t *testing.T) {
	l := new(uidl.List)
	must(t, l.Add("a", uidl.Row{UID: "1", Order: 1}))
	for name, c := range map[string]struct {
		base string
		row  uidl.Row
	}{
		"base twice":     {"a", uidl.Row{UID: "2"}},
		"unique-id":      {"b", uidl.Row{UID: "1"}},
		"order":          {"b", uidl.Row{UID: "2", Order: 1}},
		"no unique-id":   {"b", uidl.Row{}},
		"long unique-id": {"b", uidl.Row{UID: strings.Repeat("x", 71)}},
		"space":          {"b", uidl.Row{UID: "a b"}},
		"control":        {"b", uidl.Row{UID: "a\x7f"}},
		"no base":        {"", uidl.Row{UID: "2"}},
		"path":           {"../b", uidl.Row{UID: "2"}},
		"slash":          {"a/b", uidl.Row{UID: "2"}},
		"flags":          {"b:2,S", uidl.Row{UID: "2"}},
		"long base":      {strings.Repeat("x", 256), uidl.Row{UID: "2"}},
		"size":           {"b", uidl.Row{UID: "2", Size: -1}},
		"large size":     {"b", uidl.Row{UID: "2", Size: uidl.MaxSize + 1}},
	} {
		if err := l.Add(c.base, c.row); !errors.Is(err, uidl.ErrRow) {
			t.Errorf("%s: %v, want ErrRow", name, err)
		}
	}
	if l.Len() != 1 {
		t.Errorf("%d rows", l.Len())
	}
}

func TestHide(t *testing.T) {
	l := new(uidl.List)
	must(t, l.Add("a", uidl.Row{UID: "1", Order: 3, Size: 7}))
	must(t, l.Hide("a", "1", true))
	must(t, l.Hide("b", "b-uid", true))
	if err := l.Hide("a", "2", true); !errors.Is(err, uidl.ErrRow) {
		t.Errorf("another unique-id: %v", err)
	}
	if got, want := rows(l), []string{`"a" {1 3 7 true}`, `"b" {b-uid 0 0 true}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	must(t, l.Hide("a", "1", false))
	if r, _ := l.Find("a"); r.Hidden {
		t.Error("still hidden")
	}
}

func TestPrune(t *testing.T) {
	l := sample(t)
	n := l.Prune(func(base string) bool { return base == "end" })
	if n != len(bases) || l.Len() != 1 {
		t.Fatalf("%d rows went, %d stay", n, l.Len())
	}
	must(t, l.Add("with space", uidl.Row{UID: "uid-1", Order: 6})) // all of it is free again
}

// A file that was damaged in any one octet, or cut, is an error that names the
// line, and a Maildir without one is none.
func TestCorrupt(t *testing.T) {
	var b bytes.Buffer
	must(t, sample(t).Format(&b))
	text := b.Bytes()
	for i := range text {
		for _, flip := range []byte{0x01, 0x20, 0x80} {
			bad := bytes.Clone(text)
			bad[i] ^= flip
			if _, err := uidl.Parse("f", bytes.NewReader(bad)); !errors.Is(err, uidl.ErrCorrupt) || !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("octet %d ^ %#x: %v", i, flip, err)
			}
		}
		if _, err := uidl.Parse("f", bytes.NewReader(text[:i])); !errors.Is(err, uidl.ErrCorrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, err := uidl.Parse("f", strings.NewReader(string(text)+"x")); !errors.Is(err, uidl.ErrCorrupt) {
		t.Errorf("text behind: %v", err)
	}
}

// What makes a line wrong is told, and so is its number.
func TestDiagnostics(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "f:1: the list of unique-ids is damaged: the file ends before its last line",
		"kpopd-uidl 2\n":                       `f:1: the list of unique-ids is damaged: "kpopd-uidl 2" where "kpopd-uidl 1" is due`,
		"kpopd-uidl 1\n1 2 - u\n":              "f:2: the list of unique-ids is damaged: 4 fields where 5 are due",
		"kpopd-uidl 1\n01 2 - u b\n":           `f:2: the list of unique-ids is damaged: "01" is no number up to 4294967295`,
		"kpopd-uidl 1\n1 2 x u b\n":            `f:2: the list of unique-ids is damaged: flags "x"`,
		"kpopd-uidl 1\n1 2 - u %4x\n":          `f:2: the list of unique-ids is damaged: base name "%4x"`,
		"kpopd-uidl 1\n1 2 - u %41\n":          `f:2: the list of unique-ids is damaged: base name "%41"`,
		"kpopd-uidl 1\n1 2 - u b\n2 2 - u c\n": `f:3: the list of unique-ids is damaged: not acceptable: unique-id "u" of "c" is that of "b"`,
		"kpopd-uidl 1\nend 0 00000000\n":       `f:2: the list of unique-ids is damaged: the last line says "0 00000000" of what is "0 3f93acc0"`,
		strings.Repeat("x", 5000):              "f:1: the list of unique-ids is damaged: the line is too long",
	} {
		_, err := uidl.Parse("f", strings.NewReader(text))
		if err == nil || err.Error() != want {
			t.Errorf("%.40q:\n got %v\nwant %s", text, err, want)
		}
	}
}

// Neither a link nor a directory passes for the file.
func TestNotAFile(t *testing.T) {
	d, path := openDir(t)
	name := filepath.Join(path, uidl.Name)
	must(t, os.Symlink("/etc/passwd", name))
	if _, err := uidl.Load(d); !errors.Is(err, durable.ErrLink) {
		t.Errorf("a link: %v", err)
	}
	must(t, sample(t).Store(d)) // takes the link's place
	must(t, os.Remove(name))
	must(t, os.Mkdir(name, 0o700))
	if _, err := uidl.Load(d); !errors.Is(err, durable.ErrNotRegular) {
		t.Errorf("a directory: %v", err)
	}
	if err := sample(t).Store(d); err == nil {
		t.Error("a directory was replaced")
	}
}

func FuzzParse(f *testing.F) {
	var b bytes.Buffer
	must(f, sample(f).Format(&b))
	f.Add(b.Bytes())
	f.Add([]byte("kpopd-uidl 1\n0 0 h u b\n4294967295 999 - ~ %0A%20\n"))
	crc := crc32.MakeTable(crc32.Castagnoli)
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.HasSuffix(text, []byte("\n")) { // else nothing would come past the checksum
			text = fmt.Appendf(text[:len(text):len(text)], "end %d %08x\n", bytes.Count(text, []byte("\n"))-1, crc32.Checksum(text, crc))
		}
		l, err := uidl.Parse("f", bytes.NewReader(text))
		if err != nil {
			if l != nil || !errors.Is(err, uidl.ErrCorrupt) {
				t.Fatalf("%v, %v", l, err)
			}
			return
		}
		var again bytes.Buffer
		must(t, l.Format(&again))
		back, err := uidl.Parse("f", &again)
		if err != nil || !slices.Equal(rows(back), rows(l)) {
			t.Fatalf("written and read again: %v, %q, want %q", err, rows(back), rows(l))
		}
	})
}
