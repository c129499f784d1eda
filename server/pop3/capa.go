package pop3

import (
	"context"
	"slices"
	"strings"
)

// capa lists what this server can do in this state of the connection
// (RFC 2449 §5). What depends on TLS changes with it; all else is listed in
// both states.
//
// fetchmail looks for words in pieces of 63 octets, anywhere in the reply: the
// mechanisms that it knows stand first in their line, and no other line may name
// a mechanism or a command that is not meant.
func (s *session) capa(context.Context, []string) error {
	s.ok("Capabilities follow")
	for _, line := range s.capabilities() {
		s.c.Printf("%s\r\n", line)
	}
	s.c.Printf(".\r\n")
	return nil
}

func (s *session) capabilities() []string {
	lines := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"}
	if s.passwords() {
		lines = append(lines, "USER")
	}
	if names := s.h.Mechanisms.Usable(s.peer()); len(names) > 0 {
		slices.SortStableFunc(names, func(a, b string) int { return fetchmailLast(a) - fetchmailLast(b) })
		lines = append(lines, "SASL "+strings.Join(names, " "))
	}
	if s.c.OffersTLS() {
		lines = append(lines, "STLS")
	}
	lines = append(lines, s.utf8Capability(), "LANG")
	return append(lines, "IMPLEMENTATION kpopd")
}

// fetchmailLast is 0 for a mechanism that fetchmail knows, and else 1.
func fetchmailLast(name string) int {
	if name == "GSSAPI" || name == "CRAM-MD5" {
		return 0
	}
	return 1
}
