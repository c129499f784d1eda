package pop3

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kpopd/maildrop"
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
	lines = append(lines, s.terms()...)
	lines = append(lines, s.utf8Capability(), "LANG")
	return append(lines, "IMPLEMENTATION kpopd")
}

// terms are the lines of EXPIRE and LOGIN-DELAY, if there is anything to say.
// They are in both states or in none, since one that a client misses after login
// would leave it with what it heard before.
func (s *session) terms() []string {
	mine := s.h.Policies
	if s.drop != nil {
		mine = []maildrop.Policy{s.drop.Policy()}
	}
	says := func(set func(maildrop.Policy) bool) bool { return slices.ContainsFunc(s.h.Policies, set) }
	var lines []string
	if says(func(p maildrop.Policy) bool { return p.Expire != 0 }) {
		lines = append(lines, expireLine(mine))
	}
	if says(func(p maildrop.Policy) bool { return p.LoginDelay != 0 }) {
		lines = append(lines, delayLine(mine))
	}
	return lines
}

// expireLine announces the smallest number of days that a message of any of
// these maildrops stays at least (RFC 2449 §6.7).
func expireLine(all []maildrop.Policy) string {
	least, differ := maildrop.Never, false
	for i, p := range all {
		differ = differ || i > 0 && p.Expire != all[0].Expire
		if p.Expire > 0 && (least == maildrop.Never || p.Expire < least) {
			least = p.Expire
		}
	}
	if least == maildrop.Never {
		return "EXPIRE NEVER"
	}
	return fmt.Sprintf("EXPIRE %d%s", least, user(differ))
}

// delayLine announces the largest number of seconds between two logins, rounded
// up (RFC 2449 §6.5).
func delayLine(all []maildrop.Policy) string {
	most, differ := time.Duration(0), false
	for i, p := range all {
		differ = differ || i > 0 && p.LoginDelay != all[0].LoginDelay
		most = max(most, p.LoginDelay)
	}
	return fmt.Sprintf("LOGIN-DELAY %d%s", seconds(most), user(differ))
}

// user is the argument which says that CAPA has to be asked again after login,
// when it is known whose maildrop it is.
func user(differ bool) string {
	if differ {
		return " USER"
	}
	return ""
}

// seconds are those of d, rounded up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// fetchmailLast is 0 for a mechanism that fetchmail knows, and else 1.
func fetchmailLast(name string) int {
	if name == "GSSAPI" || name == "CRAM-MD5" {
		return 0
	}
	return 1
}
