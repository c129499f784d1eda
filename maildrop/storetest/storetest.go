// Package storetest is the conformance suite that every Store and Locker of
// package maildrop passes, and a tool to stop a process at any system call.
package storetest

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/memory"
)

// An Instance is one empty store under test.
type Instance struct {
	Store maildrop.Store
	// Again returns the same messages as another process sees them. nil: they
	// live in one Store only.
	Again func(t *testing.T) maildrop.Store
	// Disturb changes, in the maildrop called name, all that other programs
	// may change about messages while sessions go on, such as flags. nil:
	// nothing can be.
	Disturb func(t *testing.T, name string)
	// Files returns the file or directory that is the maildrop called name, and,
	// where it is a directory, those in it that messages are in. nil: the store
	// has no files.
	Files func(name string) (path string, folders []string)
	// Keep returns what the store makes of a text that is delivered, where its
	// format cannot hold any text. nil: it comes back octet for octet.
	Keep func(text string) string
	// Policy is on what terms sessions have maildrops. The suite holds on all.
	Policy maildrop.Policy
}

// patience bounds each test of the suite.
const patience = 2 * time.Minute

// A suite is one test's store, with a locker of its own: the two are
// independent.
type suite struct {
	*testing.T
	Instance
	ctx    context.Context
	locker maildrop.Locker
}

// TestStore runs the suite; fresh returns an empty store.
func TestStore(t *testing.T, fresh func(t *testing.T) Instance) {
	tests := []struct {
		name string
		run  func(*suite)
	}{
		{"Empty", empty},
		{"Texts", texts},
		{"Envelopes", envelopes},
		{"Part", part},
		{"Order", order},
		{"Frozen", frozen},
		{"UIDs", uids},
		{"NoReuse", noReuse},
		{"Remove", remove},
		{"RemoveTwice", removeTwice},
		{"Vanished", vanishedMessage},
		{"Stale", stale},
		{"EndedContext", endedContext},
		{"FailingReader", failingReader},
		{"RefusedNames", refusedNames},
		{"StrangeNames", strangeNames},
		{"InPlace", inPlace},
		{"Among", among},
		{"ManyDeliveries", manyDeliveries},
		{"DeliverWhileSessions", deliverWhileSessions},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			test.run(&suite{T: t, Instance: fresh(t), ctx: ctx, locker: new(memory.Locker)})
		})
	}
}

// again returns the store as another process sees it, or itself.
func (s *suite) again() maildrop.Store {
	if s.Again == nil {
		return s.Store
	}
	return s.Again(s.T)
}

// keep returns what a session retrieves of a text that was delivered.
func (s *suite) keep(text string) string {
	if s.Keep == nil {
		return text
	}
	return s.Keep(text)
}

func (s *suite) disturb(name string) {
	if s.Disturb != nil {
		s.Disturb(s.T, name)
	}
}

func (s *suite) deliver(name string, texts ...string) {
	s.Helper()
	for _, text := range texts {
		if err := s.Store.Deliver(s.ctx, name, strings.NewReader(text)); err != nil {
			s.Fatalf("Deliver(%q): %v", name, err)
		}
	}
}

// open opens name in st; the test's end closes it.
func (s *suite) open(st maildrop.Store, name string) *maildrop.Drop {
	s.Helper()
	d, err := s.Policy.Open(s.ctx, name, s.locker, st)
	if err != nil {
		s.Fatalf("Open(%q): %v", name, err)
	}
	s.Cleanup(func() { d.Close() })
	return d
}

// closeDrop ends a session without UPDATE.
func (s *suite) closeDrop(d *maildrop.Drop) {
	s.Helper()
	if err := d.Close(); err != nil {
		s.Fatalf("Close: %v", err)
	}
}

// update ends a session as QUIT does.
func (s *suite) update(d *maildrop.Drop) {
	s.Helper()
	if err := d.Update(s.ctx); err != nil {
		s.Fatalf("Update: %v", err)
	}
	s.closeDrop(d)
}

// remove opens name, removes the messages with these numbers and closes it.
func (s *suite) remove(name string, numbers ...int) {
	s.Helper()
	d := s.open(s.Store, name)
	for _, n := range numbers {
		if err := d.Delete(n); err != nil {
			s.Fatalf("Delete(%d): %v", n, err)
		}
	}
	s.update(d)
}

// list returns the messages of name as a new session sees them.
func (s *suite) list(name string) []maildrop.Message {
	s.Helper()
	d := s.open(s.again(), name)
	defer s.closeDrop(d)
	return listing(d)
}

// read returns the texts of name as a new session retrieves them, in order.
func (s *suite) read(name string) []string {
	s.Helper()
	d := s.open(s.again(), name)
	defer s.closeDrop(d)
	var all []string
	for n := range d.All() {
		all = append(all, s.text(d, n))
	}
	return all
}

func (s *suite) text(d *maildrop.Drop, n int) string {
	s.Helper()
	c, err := d.Retrieve(s.ctx, n)
	if err != nil {
		s.Fatalf("Retrieve(%d): %v", n, err)
	}
	text, err := io.ReadAll(c)
	if err = errors.Join(err, c.Close()); err != nil {
		s.Fatalf("message %d: %v", n, err)
	}
	return string(text)
}

func listing(d *maildrop.Drop) []maildrop.Message {
	var all []maildrop.Message
	for _, m := range d.All() {
		all = append(all, m)
	}
	return all
}
