package maildrop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// An Envelope is what SMTP said of a message: bare addresses, without angle
// brackets, of at most 320 octets (RFC 5321 §4.5.3.1) and without spaces or
// control characters.
type Envelope struct {
	Sender    string // empty: the null reverse-path, or not known
	Recipient string // empty: not known
}

// An Enveloper is a Box whose store keeps envelopes. The envelopes of other
// boxes are read from the top of their messages, by [ParseEnvelope].
type Enveloper interface {
	// Envelope returns the envelope of the message at index i of the listing.
	// Its errors are those of Retrieve.
	Envelope(ctx context.Context, i int) (Envelope, error)
}

// Envelope returns the envelope of message n. Its errors are those of Retrieve.
func (d *Drop) Envelope(ctx context.Context, n int) (Envelope, error) {
	if _, err := d.Message(n); err != nil {
		return Envelope{}, err
	}
	if err := d.live(); err != nil {
		return Envelope{}, err
	}
	return envelopeOf(ctx, d.box, n-1)
}

func envelopeOf(ctx context.Context, box Box, i int) (Envelope, error) {
	if e, ok := box.(Enveloper); ok {
		return e.Envelope(ctx, i)
	}
	c, err := box.Retrieve(ctx, i)
	if err != nil {
		return Envelope{}, err
	}
	defer c.Close()
	return ParseEnvelope(c)
}

const (
	envelopeHead = 16 << 10 // of a message, which is looked at
	maxAddress   = 320
)

// ParseEnvelope reads the envelope that a delivery agent wrote on top of a
// message, from its first 16 KiB: the sender from Return-Path (RFC 5321 §4.4),
// else X-Envelope-From or the line of an mbox; the recipient from X-Envelope-To,
// X-Original-To, Delivered-To or Envelope-To, in this order, each the topmost.
//
// Only what stands above the topmost Received is believed, which the site's own
// server wrote: all below may be the sender's. Where there is no Received, it
// is what stands above the first field of another kind.
func ParseEnvelope(r io.Reader) (Envelope, error) {
	buf := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buf)
	n, err := io.ReadFull(r, buf[:envelopeHead])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Envelope{}, err
	}
	return parseEnvelope(buf[:n]), nil
}

// trace are the fields that tell of the envelope, as far as they were read. A
// field that is there and holds no address is not nil.
type trace struct{ returnPath, envelopeFrom, mbox, envelopeTo, originalTo, deliveredTo, eximTo *string }

// at returns where the value of a field goes, nil for those of another kind.
func (t *trace) at(name []byte) **string {
	switch strings.ToLower(string(name)) {
	case "return-path":
		return &t.returnPath
	case "x-envelope-from":
		return &t.envelopeFrom
	case "x-envelope-to":
		return &t.envelopeTo
	case "x-original-to":
		return &t.originalTo
	case "delivered-to":
		return &t.deliveredTo
	case "envelope-to":
		return &t.eximTo
	}
	return nil
}

func (t *trace) envelope() Envelope {
	return Envelope{
		Sender:    first(t.returnPath, t.envelopeFrom, t.mbox),
		Recipient: first(t.envelopeTo, t.originalTo, t.deliveredTo, t.eximTo),
	}
}

func first(values ...*string) string {
	for _, v := range values {
		if v != nil {
			return *v
		}
	}
	return ""
}

func parseEnvelope(head []byte) Envelope {
	var all trace
	if line, rest, ok := bytes.Cut(head, lf); ok && bytes.HasPrefix(line, []byte("From ")) {
		sender, _, _ := bytes.Cut(line[len("From "):], []byte(" "))
		set(&all.mbox, sender)
		head = rest
	}
	top := (*trace)(nil) // what stands above the first field of another kind
	for {
		name, value, rest, ok := cutField(head)
		switch {
		case !ok:
			if top == nil {
				top = &all
			}
			return top.envelope()
		case bytes.EqualFold(name, []byte("Received")):
			return all.envelope()
		}
		if to := all.at(name); to != nil {
			set(to, value)
		} else if top == nil && !bytes.EqualFold(name, []byte("Delivery-Date")) {
			above := all
			top = &above
		}
		head = rest
	}
}

// cutField cuts the first field from a header, its value unfolded. ok is false
// at the header's end, whichever it is.
func cutField(head []byte) (name, value, rest []byte, ok bool) {
	line, rest, whole := bytes.Cut(head, lf)
	name, value, ok = bytes.Cut(line, []byte(":"))
	if !whole || !ok || len(bytes.TrimSpace(name)) == 0 {
		return nil, nil, nil, false
	}
	for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') { // RFC 5322 §2.2.3
		if line, rest, whole = bytes.Cut(rest, lf); !whole {
			return nil, nil, nil, false
		}
		value = append(append(bytes.Clone(value), ' '), line...)
	}
	return bytes.TrimSpace(name), value, rest, true
}

// set notes the first value that a field has.
func set(dst **string, value []byte) {
	if *dst == nil {
		addr := bareAddress(string(value))
		*dst = &addr
	}
}

// bareAddress returns the address in a field's value, "" where there is none
// that is fit to be sent in a line of its own.
func bareAddress(value string) string {
	addr := strings.TrimSpace(value)
	if inner, ok := strings.CutPrefix(addr, "<"); ok {
		addr, _, _ = strings.Cut(inner, ">")
	}
	if strings.HasPrefix(addr, "@") { // RFC 5321 §4.1.2: a source route, to be ignored
		_, addr, _ = strings.Cut(addr, ":")
	}
	unfit := func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("<>(),;", r) }
	if len(addr) > maxAddress || !utf8.ValidString(addr) || strings.ContainsFunc(addr, unfit) {
		return ""
	}
	return addr
}
