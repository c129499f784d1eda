package maildir_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/index"
)

// many is more messages than one login looks at where names tell both sizes.
const many = 300

// sized puts a message with a name that tells both sizes as Dovecot counts them:
// a text without a final line end gets none.
func (f *fixture) sized(i int, text string) (name string) {
	f.Helper()
	name = fmt.Sprintf("cur/%d.M1P1.host,S=%d,W=%d:2,S", 1_700_000_000+i, len(text), len(text)+strings.Count(text, "\n"))
	f.put(name, text)
	return name
}

// endless is a text of which Dovecot counts two octets less than are sent.
const endless = "A: b\n\nend"

// fillSized puts many messages, of one size all but some, which are endless.
func (f *fixture) fillSized(some ...int) {
	f.Helper()
	for i := range many {
		if slices.Contains(some, i) {
			f.sized(i, endless)
		} else {
			f.sized(i, mail(i, 10))
		}
	}
}

// honest checks that a session announces of every message what it sends, and
// returns the listing.
func (f *fixture) honest() (all []maildrop.Message) {
	f.Helper()
	d := f.open()
	defer d.Close()
	for n, m := range d.All() {
		if size, _, err := maildrop.Measure(strings.NewReader(f.text(d, n))); size != m.Size || err != nil {
			f.Errorf("message %d has %d octets, %d were announced: %v", n, size, m.Size, err)
		}
		all = append(all, m)
	}
	return all
}

// TestNamesAreBelieved: names that tell the truth are believed, and what a
// session announces it sends.
func TestNamesAreBelieved(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.fillSized()
	f.put(fmt.Sprintf("cur/%d.a,S=9,W=12", 1_700_000_001), "Ab: c\n\nd\n") // which a later delivery may be
	if n := len(f.honest()); n != many+1 {
		t.Errorf("%d messages", n)
	}
	f.settle()
	f.honest()
}

// TestNameLies: of a message that is not as long as its name tells, nothing is
// sent to whom the name's size was announced; the session goes on, and the next
// one announces what every message has.
func TestNameLies(t *testing.T) {
	for kind, lie := range map[string]func(f *fixture){
		"no line end": func(f *fixture) { f.fillSized(1, many-1) }, // the first and every third is looked at
		"another text": func(f *fixture) {
			f.fillSized()
			for _, i := range []int{1, many - 1} {
				f.put(f.sized(i, mail(i, 10)), mail(i, 9))
			}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			f := newFixture(t)
			f.indexed()
			lie(f)
			f.settle()
			d := f.open()
			for _, n := range []int{2, 2, many} {
				if _, err := d.Retrieve(t.Context(), n); !errors.Is(err, maildrop.ErrVanished) {
					t.Fatalf("message %d: %v, want ErrVanished", n, err)
				}
			}
			f.text(d, 3)
			f.must(d.Delete(3))
			f.must(d.Update(t.Context()))
			f.must(d.Close())
			if n := len(f.honest()); n != many-1 {
				t.Errorf("%d messages are left", n)
			}
			f.honest()
		})
	}
}

// TestLieIsSeen: one that lies among those that are looked at is enough to doubt
// all, at once; so is one that is known from before.
func TestLieIsSeen(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.fillSized(0, 1, many-1)
	f.honest()
	for i := range many {
		f.sized(many+i, endless)
	}
	if n := len(f.honest()); n != 2*many {
		t.Errorf("%d messages", n)
	}
}

// TestNameRight: a name whose S= is wrong, but not its W=, does no harm.
func TestNameRight(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.fillSized()
	f.put(fmt.Sprintf("cur/%d.a,S=10,W=13", 1_700_000_001), endless) // counted as it is sent
	f.honest()
	f.honest()
}

// TestNameSaysReady: a text that has another form than its name says is not sent
// as it stands, even where the size is right.
func TestNameSaysReady(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.fillSized()
	f.put(fmt.Sprintf("cur/%d.a,S=5,W=5,D=0", 1_700_000_001), "abc\n")
	d := f.open()
	for n, m := range d.All() {
		c, err := d.Retrieve(t.Context(), n)
		f.must(err)
		if f.must(c.Close()); m.Size == 5 && c.WireReady {
			t.Errorf("%+v is said to be wire-ready", m)
		}
	}
	if _, octets := d.Stat(); octets <= 0 {
		t.Errorf("%d octets", octets)
	}
}

// TestManyLies: a session that finds many lies writes the index once.
func TestManyLies(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.fillSized(1, 2, 4, 5, many-1)
	d := f.open()
	var after *index.Index
	for _, n := range []int{2, 3, 5, 6, many} {
		if _, err := d.Retrieve(t.Context(), n); !errors.Is(err, maildrop.ErrVanished) {
			t.Fatalf("message %d: %v, want ErrVanished", n, err)
		}
		now := f.store.Index.Get("alice/Maildir")
		if after != nil && now != after {
			t.Error("the index was written again")
		}
		after = now
	}
	f.must(d.Close())
	f.honest()
}

// TestWrongStoredSize: a large text that has not the length that its name tells
// is counted, though its size on the wire could be the one that is told.
func TestWrongStoredSize(t *testing.T) {
	f := newFixture(t)
	text := mail(1, 9000)
	f.put(fmt.Sprintf("cur/1.a,S=%d,W=%d", len(text)+1, len(text)+100), text)
	f.honest()
}

// TestHugeSizes: what names tell has a sum.
func TestHugeSizes(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.put("tmp/x", "x\n")
	for i := range 10_000 {
		sizes := "S=999999999999999,W=999999999999999"
		if i%100 == 0 { // is looked at
			sizes = "S=2,W=3"
		}
		name := fmt.Sprintf("cur/%d.a,%s", 1_700_000_000+i, sizes)
		f.must(os.Link(filepath.Join(f.dir, "tmp/x"), filepath.Join(f.dir, name)))
	}
	if _, octets := f.open().Stat(); octets < 0 {
		t.Errorf("%d octets", octets)
	}
}

// TestNobodyRemembers: where nothing would remember that a name lies, none is
// believed.
func TestNobodyRemembers(t *testing.T) {
	f := newFixture(t)
	f.fillSized(1)
	f.honest()
}

// TestRandomLies: whatever names tell, no session sends another size than it
// announced, and after the first that was refused something all announce the
// truth, until more such mail comes.
func TestRandomLies(t *testing.T) {
	for life := range 3 {
		rng := rand.New(rand.NewPCG(uint64(life), 5))
		f := newFixture(t)
		f.indexed()
		for day := range 4 {
			for i := range many {
				text := mail(i, rng.IntN(5000))
				if rng.IntN(300) == 0 {
					text += "end"
				}
				f.sized(day*many+i, text)
			}
			refused := 0
			d := f.open()
			for n, m := range d.All() {
				c, err := d.Retrieve(t.Context(), n)
				if errors.Is(err, maildrop.ErrVanished) {
					refused++
					continue
				}
				f.must(err)
				size, _, err := maildrop.Measure(c)
				if f.must(errors.Join(err, c.Close())); size != m.Size {
					t.Errorf("%d octets of %d", size, m.Size)
				}
			}
			f.must(d.Close())
			t.Logf("life %d, day %d: %d refused", life, day, refused)
			f.honest()
		}
	}
}

// TestStormOfSized: most of a Maildir was never looked at; who gives its files
// other names, or copies them, is found out by the rest.
func TestStormOfSized(t *testing.T) {
	for kind, change := range map[string]func(*fixture){
		"names anew": func(f *fixture) {
			f.renameAll(func(i int, base string) string { return "18" + base[2:] })
		},
		"half anew": func(f *fixture) {
			f.renameAll(func(i int, base string) string { return fmt.Sprintf("1%d", 8-i%2) + base[2:] })
		},
		"copies": func(f *fixture) {
			for i, file := range f.files() {
				text, err := os.ReadFile(filepath.Join(f.dir, file))
				f.must(err)
				f.must(os.Remove(filepath.Join(f.dir, file)))
				f.sized(1000+i, string(text))
			}
		},
	} {
		f := newFixture(t)
		f.indexed()
		f.fillSized()
		f.list()
		change(f)
		for range 2 {
			if err := f.openErr(); !errors.Is(err, maildrop.ErrStorm) {
				t.Errorf("%s: Open = %v, want ErrStorm", kind, err)
			}
		}
	}
}

// TestSmallStormOfSized: a limit that is low shows in as many as are looked at.
func TestSmallStormOfSized(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.store.Storm = 5
	f.fillSized()
	f.list()
	f.renameAll(func(i int, base string) string {
		if i%3 == 1 && i < 90 { // of 100 that are looked at, none is of these
			return "18" + base[2:]
		}
		return base
	})
	if err := f.openErr(); !errors.Is(err, maildrop.ErrStorm) {
		t.Errorf("Open = %v, want ErrStorm", err)
	}
}

// TestRefusedTwice: what a refused login looked at, the next does not, which
// other texts in their places would tell.
func TestRefusedTwice(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.fillSized()
	f.list()
	f.renameAll(func(i int, base string) string { return fmt.Sprintf("1%d", 8-i%2) + base[2:] })
	refused := func() (all []index.Entry) {
		if err := f.openErr(); !errors.Is(err, maildrop.ErrStorm) {
			t.Fatalf("Open = %v, want ErrStorm", err)
		}
		for i, x := 0, f.store.Index.Get("alice/Maildir\x00refused"); i < x.Len(); i++ {
			all = append(all, x.Entry(i))
		}
		return all
	}
	first := refused()
	for _, file := range f.files() {
		f.put(file, endless)
	}
	if second := refused(); len(first) != many || !slices.Equal(first, second) {
		t.Errorf("%d messages were looked at, then others", len(first))
	}
}

// TestFewComeBack: no more came back than came, however many are gone.
func TestFewComeBack(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.fillSized()
	f.list()
	for i, file := range f.files() {
		if text := mail(i, 10); i%3 == 0 && i < 75 { // which are looked at
			f.sized(1000+i, text)
		}
		f.must(os.Remove(filepath.Join(f.dir, file)))
	}
	f.must(f.openErr())
}

// TestNoStormOfSized: mail that comes as other mail goes is none.
func TestNoStormOfSized(t *testing.T) {
	f := newFixture(t)
	f.indexed()
	f.fillSized()
	f.list()
	for i, file := range f.files()[10:] {
		f.must(os.Remove(filepath.Join(f.dir, file)))
		f.sized(many+i, mail(many+i, 10))
	}
	f.must(f.openErr())
}

// TestCallsOfAFirstLogin: where names tell both sizes, it opens few messages.
func TestCallsOfAFirstLogin(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for i := range 2000 {
		s.sized(i, "x\n")
	}
	opened := 0
	for _, c := range s.run("known", 0).Calls {
		if c.Name == "openat" {
			opened++
		}
	}
	if opened > 120 || opened == 0 {
		t.Errorf("%d files opened", opened)
	}
}
