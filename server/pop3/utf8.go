package pop3

import (
	"context"
	"errors"
	"io"

	"kpopd/maildrop"
	"kpopd/server"
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
	eight, err := s.eightBitHeader(ctx, n)
	if err != nil {
		return maildrop.Content{}, err
	}
	if eight {
		return maildrop.Content{}, refuse(CodeUTF8, "Message needs UTF-8 mode")
	}
	return s.drop.Retrieve(ctx, n)
}

// eightBitHeader reports whether the header of message n has octets beyond
// ASCII. It reads no more than the header, and keeps none of it.
func (s *session) eightBitHeader(ctx context.Context, n int) (bool, error) {
	content, err := s.drop.Retrieve(ctx, n)
	if err != nil {
		return false, err
	}
	defer content.Close()
	var seen eightBit
	if _, err = io.Copy(&seen, newTop(content, 0)); errors.Is(err, server.ErrPart) {
		err = nil // the body
	}
	return bool(seen), err
}

// eightBit notes whether an octet beyond ASCII was written to it.
type eightBit bool

func (e *eightBit) Write(p []byte) (int, error) {
	for _, b := range p {
		if b >= 0x80 {
			*e = true
		}
	}
	return len(p), nil
}
