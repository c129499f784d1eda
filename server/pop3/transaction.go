package pop3

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"

	"kpopd/maildrop"
)

// stat answers with the number of messages that are not marked and their
// octets (RFC 1939 §5).
func (s *session) stat(context.Context, []string) error {
	n, octets := s.drop.Stat()
	s.c.Printf("+OK %d %d\r\n", n, octets)
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
	octets, err := s.sendText(content, content.WireReady)
	if err == nil && octets != m.Size && s.c.Err() == nil {
		s.c.Log().Warn("message is not as large as announced", "maildrop", s.drop.Name(), "uid", m.UID,
			"announced", m.Size, "sent", octets)
	}
	s.stats.retrieved++
	return err
}

// top sends the header, the blank line and the first lines of the body
// (RFC 1939 §7). fetchmail asks for 99999999 of them to have it all.
func (s *session) top(ctx context.Context, args []string) error {
	n, _, err := s.message(args[0])
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
	_, err = s.sendText(newTop(content, lines), content.WireReady)
	return err
}

// sendText sends a message's text. Where the store fails in the middle there
// is no honest way on: the connection ends without the final dot, so that the
// client does not take a part for the whole.
func (s *session) sendText(r io.Reader, wireReady bool) (int64, error) {
	octets, err := s.c.WriteText(r, wireReady)
	s.stats.octets += octets
	if err != nil {
		err = fmt.Errorf("reading a message of %s: %w", s.drop.Name(), err)
		s.c.Log().Error("message could not be sent whole", "maildrop", s.drop.Name(), "err", err)
		s.c.Abort(err)
		return octets, ended{err}
	}
	return octets, nil
}

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
