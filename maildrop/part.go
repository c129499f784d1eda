package maildrop

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A Part is a Store that shows of each maildrop the messages of one recipient,
// as SDPS asks for: those whose envelope has Recipient as its local part,
// whatever the case of its letters. What is shown has the unique-id that it has
// in the whole maildrop, and nothing else can be removed. The lock is the whole
// maildrop's.
//
// To show a part, the top of each message is read when a maildrop is opened.
type Part struct {
	Store
	// Recipient is the local part. Empty: all messages are shown.
	Recipient string
	// Host is what may stand before a local part, with a hyphen, where qmail
	// delivers for a virtual domain. Empty: nothing.
	Host string
}

var _ Store = (*Part)(nil)

// Open implements [Store].
func (p *Part) Open(ctx context.Context, l Lease) (Box, error) {
	whole, err := p.Store.Open(ctx, l)
	if err != nil {
		return nil, err
	}
	b := &partBox{Box: whole, part: p}
	if p.Recipient == "" {
		return b, nil
	}
	if err := b.choose(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open a part of %q: %w", l.Name(), err), whole.Close())
	}
	return b, nil
}

// A partBox shows the messages of whole whose indexes are in shown.
type partBox struct {
	Box
	part      *Part
	shown     []int // nil where messages is: all
	messages  []Message
	envelopes []Envelope // of the same indexes
}

var _ Enveloper = (*partBox)(nil)

// choose chooses what is shown. A message that has vanished is not.
func (b *partBox) choose(ctx context.Context) error {
	b.messages = []Message{}
	for i, m := range b.Box.Messages() {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		e, err := b.envelope(ctx, i)
		if errors.Is(err, ErrVanished) {
			continue
		}
		if err != nil {
			return err
		}
		if local, _ := cutDomain(e.Recipient); lowerASCII(local) == lowerASCII(b.part.Recipient) {
			b.shown, b.messages, b.envelopes = append(b.shown, i), append(b.messages, m), append(b.envelopes, e)
		}
	}
	return nil
}

// envelope returns the envelope of the message at index i of the whole.
func (b *partBox) envelope(ctx context.Context, i int) (Envelope, error) {
	e, err := envelopeOf(ctx, b.Box, i)
	if prefix := b.part.Host + "-"; len(prefix) > 1 && len(e.Recipient) > len(prefix) &&
		lowerASCII(e.Recipient[:len(prefix)]) == lowerASCII(prefix) {
		e.Recipient = e.Recipient[len(prefix):]
	}
	return e, err
}

// Messages implements [Box].
func (b *partBox) Messages() []Message {
	if b.messages == nil {
		return b.Box.Messages()
	}
	return b.messages
}

// Envelope implements [Enveloper].
func (b *partBox) Envelope(ctx context.Context, i int) (Envelope, error) {
	if b.messages == nil {
		return b.envelope(ctx, i)
	}
	return b.envelopes[i], nil
}

// Retrieve implements [Box].
func (b *partBox) Retrieve(ctx context.Context, i int) (Content, error) {
	return b.Box.Retrieve(ctx, b.whole(i))
}

// Remove implements [Box].
func (b *partBox) Remove(ctx context.Context, indexes []int) error {
	return b.Box.Remove(ctx, b.wholes(indexes))
}

// wholes returns the indexes in the whole of what is shown at these.
func (b *partBox) wholes(indexes []int) []int {
	all := make([]int, len(indexes))
	for k, i := range indexes {
		all[k] = b.whole(i)
	}
	return all
}

// whole returns the index in the whole of what is shown at i.
func (b *partBox) whole(i int) int {
	if b.messages == nil {
		return i
	}
	return b.shown[i]
}

func cutDomain(address string) (local, domain string) {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return address[:i], address[i+1:]
	}
	return address, ""
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
