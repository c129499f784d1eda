package lmtp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"kpopd/maildrop"
)

const (
	// deliverTimeout bounds the deliveries of a message that is all there; a
	// client waits for ten minutes (RFC 5321 §4.5.3.2.6).
	deliverTimeout = 8 * time.Minute
	// drainMin is how much of a text that is refused is read at least, for the
	// sake of an orderly reply.
	drainMin = 16 << 20
)

// data takes the text of a message (RFC 5321 §4.1.1.4).
func (s *session) data(ctx context.Context, args string) error {
	if args != "" {
		return s.wrong(bad(501, "5.5.4", "DATA has no arguments"))
	}
	if err := s.ready(); err != nil {
		return err
	}
	s.c.Printf("354 Send the message, and a dot behind it\r\n")
	return s.receive(ctx, &dataText{c: s.c})
}

// receive delivers a text to all recipients, and answers for each of them in
// their order (RFC 2033 §4.2).
func (s *session) receive(ctx context.Context, text io.Reader) error {
	defer func() { s.mail = nil }()
	src := s.watch(text)
	defer src.stop()
	h := NewHeader(src.limit(s.h.MaxSize))
	all := s.copies(h)
	ctx, cancel := context.WithTimeout(ctx, s.h.dataTimeout()+deliverTimeout)
	defer cancel()
	errs := s.h.Distribute(ctx, all, h)
	if err := src.drain(max(s.h.MaxSize, drainMin)); err != nil {
		if errors.Is(err, errReset) {
			return nil // and answered
		}
		return ended{err}
	}
	for i := range s.mail.rcpts {
		r := &s.mail.rcpts[i]
		s.verdict(ctx, r, src.octets, errs[r.copy])
	}
	return nil
}

// verdict answers for one recipient.
func (s *session) verdict(ctx context.Context, r *recipient, octets int64, err error) {
	if err == nil {
		s.record(ctx, r.addr, r.target, octets, nil)
		s.c.Printf("250 2.0.0 <%s> delivered, %s\r\n", r.addr, s.mail.id)
		return
	}
	e := AsError(err, s.h.OverQuota)
	s.record(ctx, r.addr, r.target, octets, e)
	s.c.Printf("%d %s <%s> %s\r\n", e.Code, e.Status, r.addr, e.Text)
}

// copies are the deliveries to be made: one for each recipient, but one for
// those who would have the very same message in the very same maildrop.
func (s *session) copies(h *Header) []maildrop.Delivery {
	t := s.mail
	var all []maildrop.Delivery
	e := Envelope{Sender: t.sender, From: s.client, Client: s.c.Client(), By: s.h.Hostname,
		With: s.protocol(), ID: t.id, Time: time.Now()}
	for i := range t.rcpts {
		r := &t.rcpts[i]
		addr := r.addr.String()
		if e.Recipient = addr; s.h.Share && len(t.rcpts) > 1 {
			e.Recipient = ""
		}
		d := maildrop.Delivery{Name: r.target.Maildrop, Head: e.Head(), Quota: r.target.Quota,
			Accept: func() error { return h.CheckLoop(addr) }}
		r.copy = slices.IndexFunc(all, func(o maildrop.Delivery) bool { return o.Name == d.Name && bytes.Equal(o.Head, d.Head) })
		if r.copy < 0 {
			r.copy = len(all)
			all = append(all, d)
		}
	}
	return all
}

// protocol is how the message came (RFC 3848, RFC 6531 §4.3).
func (s *session) protocol() string {
	with := "LMTP"
	if s.mail.utf8 {
		with = "UTF8LMTP"
	}
	if s.c.TLS() != nil {
		with += "S"
	}
	return with
}

// A source is a text on its way from the client. It knows how it ended.
type source struct {
	r      io.Reader
	stop   func() bool // the clock
	octets int64       // as stored
	err    error       // how it ended: io.EOF, or why not
}

// watch has a text come in time.
func (s *session) watch(text io.Reader) *source {
	late := time.AfterFunc(s.h.dataTimeout(), func() { s.c.Abort(ErrSlow) })
	return &source{r: text, stop: late.Stop}
}

// Read implements [io.Reader].
func (t *source) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.r.Read(p)
	if t.octets += int64(n); err != nil {
		t.err = err
		t.stop()
	}
	return n, err
}

// limit bounds the text; 0: not at all.
func (t *source) limit(most int64) io.Reader {
	if most == 0 {
		return t
	}
	return &limited{t, most}
}

// drain reads what is left of a text that nobody wants, most octets of it, so
// that the replies find their reader. nil: the text is all there.
func (t *source) drain(most int64) error {
	if t.err == nil {
		_, err := io.CopyN(io.Discard, t, most)
		if err == nil {
			return ErrTooLarge
		}
	}
	if t.err == io.EOF {
		return nil
	}
	return t.err
}
