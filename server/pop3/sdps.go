package pop3

import (
	"context"
	"strings"

	"kpopd/maildrop"
)

// env answers with the envelope of a message, as SDPS has it: behind +OK, four
// lines and a dot. The clients that there are look at the third, the sender's
// address, which is empty for the null sender, and the fourth, the
// recipient's; of the first two it is not known what they were.
//
// fetchmail waits for the dot whatever the first line says, so that a message
// that can be numbered has an answer even where its envelope cannot be read.
func (s *session) env(ctx context.Context, args []string) error {
	n, m, err := s.message(args[0])
	if err != nil {
		return err
	}
	e, err := s.drop.Envelope(ctx, n)
	if err != nil {
		s.c.Log().ErrorContext(ctx, "envelope could not be read", "maildrop", s.drop.Name(), "uid", m.UID, "err", err)
		e = maildrop.Envelope{}
	}
	if e.Recipient == "" {
		e.Recipient = s.owner()
	}
	s.ok("Envelope follows")
	for _, line := range []string{m.UID, s.h.Hostname, e.Sender, e.Recipient} {
		if strings.HasPrefix(line, ".") { // RFC 1939 §3
			line = "." + line
		}
		s.c.Printf("%s\r\n", s.presentable(line))
	}
	s.c.Printf(".\r\n")
	return nil
}

// owner is the address of whose maildrop it is, for mail that does not tell
// its recipient.
func (s *session) owner() string {
	const longest = 320 // RFC 5321 §4.5.3.1
	name := s.id.User
	if !strings.Contains(name, "@") {
		name += "@" + s.h.Hostname
	}
	if len(name) > longest || strings.ContainsAny(name, " <>") {
		return "postmaster@" + s.h.Hostname
	}
	return name
}
