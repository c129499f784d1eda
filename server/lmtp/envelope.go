package lmtp

import (
	"fmt"
	"strings"
	"time"
)

// An Envelope is what is written on top of a message that is delivered.
type Envelope struct {
	Sender Address // the zero Address: none
	// Recipient is whom the message is delivered to. Empty: it is not said, as
	// of a copy that several recipients share.
	Recipient string
	// Original is the address that the recipient had before it was rewritten.
	// Empty: not known.
	Original string
	// From and By are the client, as it names itself, and this server; By empty:
	// there is no Received. With is the protocol (RFC 3848), and ID what the log
	// calls the delivery.
	From, Client, By, With, ID string
	Time                       time.Time
}

// Head returns the envelope's fields, in the order in which
// [maildrop.ParseEnvelope] believes them: above the topmost Received.
func (e *Envelope) Head() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "Return-Path: <%s>\n", e.Sender) // RFC 5321 §4.4
	if e.Original != "" {
		fmt.Fprintf(&b, "X-Original-To: %s\n", e.Original)
	}
	if e.Recipient != "" {
		fmt.Fprintf(&b, "Delivered-To: %s\n", e.Recipient)
	}
	if e.By == "" {
		return []byte(b.String())
	}
	b.WriteString("Received: ")
	if e.From != "" {
		fmt.Fprintf(&b, "from %s (%s)\n\t", hostText(e.From), e.Client)
	}
	fmt.Fprintf(&b, "by %s with %s id %s", e.By, e.With, e.ID)
	if e.Recipient != "" {
		fmt.Fprintf(&b, "\n\tfor <%s>", e.Recipient)
	}
	fmt.Fprintf(&b, "; %s\n", e.Time.Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	return []byte(b.String())
}

// hostText is a client's name for itself, of which only what names are made of
// is written down.
func hostText(name string) string {
	const longest = 255
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("-._:[]", r) {
			return r
		}
		return '?'
	}, name[:min(len(name), longest)])
}
