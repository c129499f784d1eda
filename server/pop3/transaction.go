package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"kpopd/maildrop"
	"kpopd/server"
)

// stat answers with the number of messages that are not marked and their
// octets (RFC 1939 §5).
func (s *session) stat(context.Context, []string) error {
	n, octets := s.drop.Stat()
	var room [64]byte
	line := strconv.AppendInt(append(room[:0], "+OK "...), int64(n), 10)
	line = strconv.AppendInt(append(line, ' '), octets, 10)
	s.c.Write(append(line, "\r\n"...))
	return nil
}

// list answers with numbers and sizes (RFC 1939 §5).
func (s *session) list(_ context.Context, args []string) error {
	return s.listing(args, func(line []byte, m maildrop.Message) []byte {
		return strconv.AppendInt(line, m.Size, 10)
	})
}

// uidl answers with numbers and unique-ids (RFC 1939 §7).
func (s *session) uidl(_ context.Context, args []string) error {
	return s.listing(args, func(line []byte, m maildrop.Message) []byte {
		return append(line, m.UID...)
	})
}

// listing writes one line for the message in args, or a multi-line reply with
// one for each that is not marked. what appends what a line says of its
// message. A maildrop may hold a hundred thousand: no line allocates.
func (s *session) listing(args []string, what func([]byte, maildrop.Message) []byte) error {
	var line []byte
	write := func(start string, n int, m maildrop.Message) {
		line = strconv.AppendInt(append(line[:0], start...), int64(n), 10)
		line = what(append(line, ' '), m)
		line = append(line, "\r\n"...)
		s.c.Write(line)
	}
	if len(args) == 1 {
		n, m, err := s.message(args[0])
		if err != nil {
			return err
		}
		write("+OK ", n, m)
		return nil
	}
	n, octets := s.drop.Stat()
	s.ok("%d messages (%d octets)", n, octets)
	for n, m := range s.drop.All() {
		if s.c.Err() != nil {
			return nil // the client is gone, as the next read tells
		}
		write("", n, m)
	}
	s.c.Printf(".\r\n")
	return nil
}

// retr sends a message (RFC 1939 §5).
func (s *session) retr(ctx context.Context, args []string) error {
	n, m, err := s.message(args[0])
	if err != nil {
		return err
	}
	content, err := s.retrieve(ctx, n)
	if err != nil {
		return err
	}
	defer content.Close()
	s.ok("%d octets", m.Size)
	if err := s.sendText(ctx, n, m, content.ReadCloser, content.WireReady); err != nil {
		return err
	}
	s.stats.retrieved++
	s.drop.Seen(n)
	return nil
}

// top sends the header, the blank line and the first lines of the body
// (RFC 1939 §7). fetchmail asks for 99999999 of them to have it all.
func (s *session) top(ctx context.Context, args []string) error {
	n, m, err := s.message(args[0])
	if err != nil {
		return err
	}
	lines, err := number(args[1])
	if err != nil {
		return s.count(refuse("", "The number of lines is not acceptable"))
	}
	content, err := s.retrieve(ctx, n)
	if err != nil {
		return err
	}
	defer content.Close()
	s.ok("Top of message follows")
	return s.sendText(ctx, n, m, newTop(content, lines), content.WireReady)
}

// sendText sends the text of message n, or a part of it. Where the store fails
// in the middle, or the text is not as long as LIST has announced, there is no
// honest way on: the connection ends without the final dot, so that the client
// does not take a part for the whole, and without UPDATE.
//
// Of a text that grew the announced octets could be sent, and would be taken for
// all of it. It is measured instead, for the next session to announce.
func (s *session) sendText(ctx context.Context, n int, m maildrop.Message, r io.Reader, wireReady bool) error {
	octets, err := s.c.WriteText(r, m.Size, wireReady)
	s.stats.octets += octets
	if err == nil {
		return nil
	}
	s.stats.cut = cause{"message-unreadable"}
	if errors.Is(err, server.ErrTextSize) {
		s.stats.cut = cause{"message-changed"}
		err = errors.Join(err, s.drop.Remeasure(ctx, n))
	}
	err = fmt.Errorf("reading message %q of %s: %w", m.UID, s.drop.Name(), err)
	s.c.Log().Error("message could not be sent whole", "maildrop", s.drop.Name(), "uid", m.UID,
		"reason", s.stats.cut.reason, "announced", m.Size, "found", octets, "err", err)
	s.c.Abort(err)
	return ended{err}
}

// A cause is why a session was cut, as cmd/kpopd/REASONS.md explains it.
type cause struct{ reason string }

// dele marks a message. It is removed at QUIT, and not before.
func (s *session) dele(_ context.Context, args []string) error {
	n, _, err := s.message(args[0])
	if err != nil {
		return err
	}
	if err := s.drop.Delete(n); err != nil {
		return err
	}
	return s.ok("Message %d is marked", n)
}

// rset takes back all marks.
func (s *session) rset(context.Context, []string) error {
	s.drop.Reset()
	n, octets := s.drop.Stat()
	return s.ok("%d messages (%d octets)", n, octets)
}

// noop does nothing, and keeps the session from its autologout.
func (s *session) noop(context.Context, []string) error { return s.ok("Still here") }

// message returns the message that an argument numbers.
func (s *session) message(arg string) (int, maildrop.Message, error) {
	n, err := number(arg)
	if err != nil || n == 0 {
		return 0, maildrop.Message{}, refuse("", "That is no message number")
	}
	m, err := s.drop.Message(n)
	return n, m, err
}

// number parses decimal digits, and nothing else (RFC 1939 §3: no sign). What
// is larger than any count becomes the largest int32.
func number(arg string) (int, error) {
	for _, d := range []byte(arg) {
		if d < '0' || d > '9' {
			return 0, strconv.ErrSyntax
		}
	}
	n, err := strconv.ParseUint(arg, 10, 31)
	if err != nil && n != math.MaxInt32 {
		return 0, err
	}
	return int(n), nil
}
