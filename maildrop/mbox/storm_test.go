package mbox_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/mbox"
)

// numbered are messages with X-UIDL fields, of which each has its own.
func numbered(n int) string {
	var b strings.Builder
	b.WriteString("From a@b Tue Nov 24 12:10:45 2026\nX-IMAPbase: 1700000000 99\nX-UID: 1\nX-UIDL: id-0\nSubject: 0\n\ntext\n\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "From a@b Tue Nov 24 12:10:45 2026\nX-UID: %d\nX-UIDL: id-%d\nSubject: %[2]d\n\ntext\n\n", i+1, i)
	}
	return b.String()
}

// openErr opens alice, and closes her again.
func (f *fixture) openErr() error {
	d, err := maildrop.Open(f.Context(), "alice", &f.locker, f.store)
	if err == nil {
		err = d.Close()
	}
	return err
}

// Unique-ids from elsewhere are refused, again and again, until the
// configuration is as it was or it is accepted.
func TestStorm(t *testing.T) {
	for _, other := range mbox.AllUIDs[1:] {
		f := newFixture(t)
		f.store.Storm = 20
		f.put(numbered(30))
		before := f.uids()
		f.store.UIDs = other
		for range 2 {
			if err := f.openErr(); !errors.Is(err, maildrop.ErrStorm) || !strings.Contains(err.Error(), "30 of the 30") {
				t.Fatalf("%s: %v", other, err)
			}
			f.deliver("Subject: new\n\ntext\n") // which needs no session
			f.age()
		}
		f.store.UIDs = mbox.ByHeader
		f.want(f.uids()[:30], before...)
		f.store.UIDs = other
		if err := f.openErr(); !errors.Is(err, maildrop.ErrStorm) {
			t.Fatalf("%s: %v", other, err)
		}
		if had, err := f.store.AcceptUIDs("alice"); !had || err != nil {
			t.Errorf("AcceptUIDs: %v, %v", had, err)
		}
		if after := f.uids(); len(after) != 32 || after[0] == before[0] {
			t.Errorf("%s: what was accepted is %q", other, after)
		}
		f.must(f.openErr())
	}
}

// What is no storm: few messages, or few of them, change; or it is allowed.
func TestNoStorm(t *testing.T) {
	for kind, c := range map[string]struct {
		text  string
		limit int
	}{
		"few messages":         {numbered(9), 20},
		"few of the messages":  {numbered(10) + strings.ReplaceAll(numbered(60), "X-UIDL:", "X-Was:"), 20},
		"no limit":             {numbered(30), 100},
		"limit not configured": {numbered(30), 0},
	} {
		f := newFixture(t)
		f.store.Storm = c.limit
		f.put(c.text)
		before := f.uids()
		f.store.UIDs = mbox.ByDigest
		if after := f.uids(); len(after) != len(before) || after[0] == before[0] {
			t.Errorf("%s: was %q, is %q", kind, before, after)
		}
	}
}

// Mail that came instead of other mail is none that clients know.
func TestNoStormOfOtherMail(t *testing.T) {
	f := newFixture(t)
	f.store.Storm = 20
	f.put(numbered(30))
	f.uids()
	f.store.UIDs = mbox.ByDigest
	f.put(strings.ReplaceAll(numbered(30), "text", "other"))
	f.must(f.openErr())
}

// Who accepts does not give out again what was removed.
func TestAcceptForgetsNoRemoval(t *testing.T) {
	f := newFixture(t)
	if had, err := f.store.AcceptUIDs("alice"); had || err != nil {
		t.Errorf("AcceptUIDs of nothing: %v, %v", had, err)
	}
	f.put(message("1", "X-UIDL: one\n") + message("2", ""))
	f.remove(1)
	f.age()
	for _, want := range []bool{true, false} {
		if had, err := f.store.AcceptUIDs("alice"); had != want || err != nil {
			t.Errorf("AcceptUIDs: %v, %v", had, err)
		}
	}
	f.add(message("3", "X-UIDL: one\n"))
	if got := f.uids(); len(got) != 2 || got[1] == "one" {
		t.Errorf("unique-ids %q", got)
	}
}
