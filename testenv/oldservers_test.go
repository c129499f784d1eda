package testenv_test

import (
	"path/filepath"
	"strings"
	"testing"

	"kpopd/testenv"
)

// TestCourier: it serves Maildirs and prints its own unique-ids.
func TestCourier(t *testing.T) {
	t.Parallel()
	mail := t.TempDir()
	putMail(t, filepath.Join(mail, "alice", "Maildir"), 3)
	c := testenv.StartCourier(t, mail, map[string]string{"alice": "sesam"})
	s := dialPOP3(t, c.POP3, nil, "alice", "sesam")
	uids := s.list("UIDL")
	if len(uids) != 3 || !strings.HasPrefix(uids[2], "3 UID3-") {
		t.Errorf("UIDL: %q", uids)
	}
	s.cmd("QUIT")
	dialPOP3(t, c.POP3, nil, "alice", "sesam") // left open
}

// TestCyrus: it has mailboxes for those to whom mail comes, and prints its own
// unique-ids.
func TestCyrus(t *testing.T) {
	t.Parallel()
	c := testenv.StartCyrus(t, map[string]string{"alice": "sesam"}, "")
	for range 2 {
		c.Deliver(t, "alice", "From: a@example.test\nSubject: x\n\nbody\n")
	}
	s := dialPOP3(t, c.POP3, nil, "alice", "sesam")
	if uids := s.list("UIDL"); len(uids) != 2 {
		t.Errorf("UIDL: %q", uids)
	}
	s.cmd("QUIT")
}
