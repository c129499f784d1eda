package pop3

import (
	"context"

	"kpopd/maildrop"
)

// A UTF8Policy is what a client that has not asked for UTF-8 mode gets of a
// message that needs it: one with characters beyond ASCII in its header
// (RFC 6532).
type UTF8Policy int

// The policies. Mail with raw 8-bit headers is older than RFC 6532 and is in
// every large maildrop; all servers have always sent it as it is, and clients
// guess at its characters. RFC 6856 §2.1 has it sent as a surrogate, or refused.
const (
	UTF8AsIs UTF8Policy = iota
	UTF8Surrogate
	UTF8Refuse
)

// utf8Capability is the line of CAPA for RFC 6856 §2. USER says that names and
// passwords may be in UTF-8, with and without UTF-8 mode; it depends on the
// listener alone, as the line is the same in both states.
func (s *session) utf8Capability() string {
	if s.h.Auth == nil && s.h.Admit == nil {
		return "UTF8"
	}
	return "UTF8 USER"
}

// utf8Mode is the UTF8 command (RFC 6856 §2.1). A client should use STLS before
// it; one that does so behind it starts anew, as with all that it said before.
func (s *session) utf8Mode(context.Context, []string) error {
	s.utf8 = true
	return s.ok("UTF-8 mode is on")
}

// retrieve opens message n as this client may have it. In UTF-8 mode that is as
// it is (RFC 6856 §2.1).
func (s *session) retrieve(ctx context.Context, n int) (maildrop.Content, error) {
	if s.utf8 || s.h.UTF8Messages == UTF8AsIs {
		return s.drop.Retrieve(ctx, n)
	}
	h, err := s.head(ctx, n)
	if err != nil {
		return maildrop.Content{}, err
	}
	if h.eightBit && s.h.UTF8Messages == UTF8Refuse {
		return maildrop.Content{}, errNeedsUTF8
	}
	content, err := s.drop.Retrieve(ctx, n)
	if err != nil || s.h.UTF8Messages == UTF8Refuse {
		return content, err
	}
	substitute, ok, err := h.surrogate(content)
	if err == nil && !ok {
		err = errNeedsUTF8
	}
	if err != nil {
		content.Close()
	}
	return substitute, err
}

// presentable is an address as this client may have it. One that is not ASCII has
// no other form; what is left of it is nobody's.
func (s *session) presentable(address string) string {
	if s.utf8 || s.h.UTF8Messages == UTF8AsIs {
		return address
	}
	return string(mask([]byte(address)))
}

var errNeedsUTF8 = &Error{Code: CodeUTF8, Text: "Message needs UTF-8 mode"}

// head reads the header of message n, and no more than that.
func (s *session) head(ctx context.Context, n int) (head, error) {
	content, err := s.drop.Retrieve(ctx, n)
	if err != nil {
		return head{}, err
	}
	defer content.Close()
	return readHead(content)
}
