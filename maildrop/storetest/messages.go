package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"kpopd/maildrop"
)

func empty(s *suite) {
	d := s.open(s.Store, "nobody")
	if n, octets := d.Stat(); n != 0 || octets != 0 || d.Count() != 0 {
		s.Errorf("Stat = %d, %d; Count = %d; want an empty maildrop", n, octets, d.Count())
	}
	s.update(d)
}

// texts: what was delivered comes back as the store keeps it, octet for octet,
// and Size and WireReady are what Measure says of it. Invariant 4 of the design.
func texts(s *suite) {
	for _, kind := range slices.Sorted(maps.Keys(Texts)) {
		want := s.keep(Texts[kind])
		name := "kind " + kind
		s.deliver(name, Texts[kind])
		d := s.open(s.again(), name)
		m, err := d.Message(1)
		if err != nil {
			s.Errorf("%s: %v", kind, err)
			continue
		}
		size, ready, err := maildrop.Measure(strings.NewReader(want))
		if err != nil || m.Size != size {
			s.Errorf("%s: Size = %d, want %d (%v)", kind, m.Size, size, err)
		}
		c, err := d.Retrieve(s.ctx, 1)
		if err != nil {
			s.Fatalf("%s: %v", kind, err)
		}
		got, err := io.ReadAll(c)
		if err = errors.Join(err, c.Close()); err != nil || string(got) != want {
			s.Errorf("%s: %d octets came back of %d, or others (%v)", kind, len(got), len(want), err)
		}
		if c.WireReady && !ready {
			s.Errorf("%s: WireReady, but it is not", kind)
		}
		s.closeDrop(d)
	}
}

func order(s *suite) {
	var want []string
	for i := range 200 {
		want = append(want, fmt.Sprintf("message %d\n", i))
	}
	s.deliver("alice", want...)
	for range 3 {
		if got := s.read("alice"); !slices.Equal(got, want) {
			s.Fatalf("order is not that of delivery:\n%q", got)
		}
		s.disturb("alice")
	}
}

// frozen: what arrives during a session is not in its listing.
func frozen(s *suite) {
	s.deliver("alice", "one\n", "two\n")
	d := s.open(s.Store, "alice")
	before := listing(d)
	s.deliver("alice", "three\n")
	s.disturb("alice")
	if after := listing(d); !slices.Equal(before, after) || d.Count() != 2 {
		s.Errorf("the listing changed from %v to %v", before, after)
	}
	for n, want := range []string{"one\n", "two\n"} {
		if got := s.text(d, n+1); got != want {
			s.Errorf("message %d = %q, want %q", n+1, got, want)
		}
	}
	if err := d.Delete(1); err != nil {
		s.Fatal(err)
	}
	s.update(d)
	if got, want := s.read("alice"), []string{"two\n", "three\n"}; !slices.Equal(got, want) {
		s.Errorf("afterwards %q, want %q", got, want)
	}
}

// uids: each is as RFC 1939 §7 has it, unlike the others, and stays.
func uids(s *suite) {
	s.deliver("alice", "one\n", "two\n", "three\n", "four\n")
	first := s.list("alice")
	seen := make(map[string]bool)
	for _, m := range first {
		if seen[m.UID] || len(m.UID) < 1 || len(m.UID) > 70 || strings.ContainsFunc(m.UID, outside) {
			s.Errorf("unique-id %q is not one", m.UID)
		}
		seen[m.UID] = true
	}
	for range 3 {
		s.disturb("alice")
		if again := s.list("alice"); !slices.Equal(first, again) {
			s.Errorf("listing was %v, is %v", first, again)
		}
	}
	s.remove("alice", 1, 3)
	if got, want := s.list("alice"), []maildrop.Message{first[1], first[3]}; !slices.Equal(got, want) {
		s.Errorf("after removal %v, want %v", got, want)
	}
}

// outside RFC 1939 §7's characters of a unique-id.
func outside(r rune) bool { return r < 0x21 || r > 0x7e }

// noReuse: a unique-id is never given to another message.
func noReuse(s *suite) {
	seen := make(map[string]bool)
	for range 20 {
		s.deliver("alice", "the same text\n")
		m := s.list("alice")[0]
		if seen[m.UID] {
			s.Fatalf("%q was given out again", m.UID)
		}
		seen[m.UID] = true
		s.remove("alice", 1)
	}
}

func failingReader(s *suite) {
	broken := errors.New("line is dead")
	for _, already := range []int{0, 1, 100_000} {
		r := io.MultiReader(strings.NewReader(strings.Repeat("x", already)), &failing{broken})
		if err := s.Store.Deliver(s.ctx, "alice", r); !errors.Is(err, broken) {
			s.Errorf("after %d octets: Deliver = %v, want the reader's error", already, err)
		}
	}
	if got := s.list("alice"); len(got) != 0 {
		s.Errorf("%d messages came of it", len(got))
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func endedContext(s *suite) {
	s.deliver("alice", "one\n")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(s.ctx)
	cancel(cause)
	if err := s.Store.Deliver(ctx, "alice", strings.NewReader("two\n")); !errors.Is(err, cause) {
		s.Errorf("Deliver = %v, want the cause", err)
	}
	lease, err := s.locker.Lock(s.ctx, "alice")
	if err != nil {
		s.Fatal(err)
	}
	defer lease.Release()
	box, err := s.Store.Open(s.ctx, lease)
	if err != nil {
		s.Fatal(err)
	}
	defer box.Close()
	if err := box.Remove(ctx, []int{0}); !errors.Is(err, cause) {
		s.Errorf("Remove = %v, want the cause", err)
	}
	lease.Release()
	if got, want := s.read("alice"), []string{"one\n"}; !slices.Equal(got, want) {
		s.Errorf("afterwards %q, want %q", got, want)
	}
}

// refusedNames: names that must lead nowhere at all.
func refusedNames(s *suite) {
	for _, name := range RefusedNames() {
		if err := s.Store.Deliver(s.ctx, name, strings.NewReader("x\n")); !errors.Is(err, maildrop.ErrName) {
			s.Errorf("Deliver(%s) = %v, want ErrName", shorten(name), err)
		}
		box, err := s.Store.Open(s.ctx, &held{name: name})
		if !errors.Is(err, maildrop.ErrName) {
			s.Errorf("Open(%s) = %v, want ErrName", shorten(name), err)
		}
		if err == nil {
			box.Close()
		}
	}
}

// strangeNames: each is a maildrop of its own.
func strangeNames(s *suite) {
	for _, name := range StrangeNames() {
		s.deliver(name, name)
	}
	for _, name := range StrangeNames() {
		if got := s.read(name); len(got) != 1 || got[0] != s.keep(name) {
			s.Errorf("maildrop %s holds %q", shorten(name), got)
		}
	}
}

// RefusedNames returns maildrop names that every Store and Locker refuses with
// ErrName.
func RefusedNames() []string {
	return []string{
		"", ".", "..", "/", "//", "../x", "x/..", "x/../y", "x/.", "./x", "x//y", "/x", "x/", "/etc/passwd",
		"...", ".hidden", "x/.Sent", "\x00", "a\x00b", "a\nb", "a\rb", "\t", "\x1b[2J", "\x7f", "a\u0085b",
		"\xc0\xae\xc0\xae", "\xe0\x80\xae", "\xff", // overlong and broken UTF-8
		strings.Repeat("x", 10<<10), strings.Repeat("x/", 5<<10) + "x", strings.Repeat("../", 50) + "etc/passwd",
	}
}

// StrangeNames returns maildrop names that are unusual, harmless and all
// different, also for whoever unescapes, folds or trims.
func StrangeNames() []string {
	return []string{
		"a", "A", "a ", " a", "a.", "a..b", "%2e", "%2e%2e", "%2E%2E%2Fa", "%", "%%", "a%2Fb", "a\\b", "a:b", "a,W=1",
		"a+b@example.test", "host/pop.example.test@EXAMPLE.TEST", "*", "?", "~", "~a", "$HOME", "${user}", "-rf",
		"ünï", "u\u0308ni", "名前", "'", "\"", "`id`", "a;b", "#", "new/x", "tmp/x",
		strings.Repeat("n", 200), strings.Repeat("%", 100), strings.Repeat("ü", 100),
	}
}

func shorten(name string) string {
	if len(name) > 40 {
		return strconv.Quote(name[:40]) + "…"
	}
	return strconv.Quote(name)
}

// A held is a lease that nobody takes away.
type held struct{ name string }

func (l *held) Name() string          { return l.name }
func (l *held) Token() uint64         { return 1 }
func (l *held) Lost() <-chan struct{} { return nil }
func (l *held) Release() error        { return nil }
