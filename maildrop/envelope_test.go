package maildrop_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"kpopd/maildrop"
)

var envelopes = []struct{ name, text, sender, recipient string }{
	{"nothing", "", "", ""},
	{"no header", "\nReturn-Path: <a@b>\n", "", ""},
	{"Postfix", "Return-Path: <a@b>\nX-Original-To: fred@c\nDelivered-To: all@c\nReceived: by c\n\n", "a@b", "fred@c"},
	{"Exim", "Return-path: <a@b>\nEnvelope-to: fred@c\nDelivery-date: Mon, 1 Jan\nReceived: by c\n\n", "a@b", "fred@c"},
	{"qmail", "Return-Path: <a@b>\nDelivered-To: c-fred@c\nReceived: (qmail 1)\n\n", "a@b", "c-fred@c"},
	{"CRLF", "Return-Path: <a@b>\r\nDelivered-To: fred@c\r\nReceived: by c\r\n\r\n", "a@b", "fred@c"},
	{"X-Envelope", "X-Envelope-From: <a@b>\nX-Envelope-To: <fred@c>\nDelivered-To: all@c\nReceived: by c\n", "a@b", "fred@c"},
	{"mbox", "From a@b Mon Jan  1 00:00:00 2026\nDelivered-To: fred@c\nReceived: by c\n", "a@b", "fred@c"},
	{"null sender", "Return-Path: <>\nX-Envelope-From: a@b\nDelivered-To: fred@c\nReceived: by c\n", "", "fred@c"},
	{"fields of filters above", "X-Spam: no\nReturn-Path: <a@b>\nX-Sieve: yes\nDelivered-To: fred@c\nReceived: by c\n", "a@b", "fred@c"},
	{"below the Received", "Received: by c\nReturn-Path: <a@b>\nDelivered-To: fred@c\n", "", ""},
	{"below a filter's, without a Received", "Return-Path: <a@b>\nSubject: x\nDelivered-To: fred@c\n\n", "a@b", ""},
	{"without a Received", "Return-Path: <a@b>\nDelivered-To: fred@c\n\nReceived: by c\n", "a@b", "fred@c"},
	{"the topmost", "Delivered-To: fred@c\nDelivered-To: wilma@c\nReturn-Path: <a@b>\nReturn-Path: <x@y>\nReceived: by c\n", "a@b", "fred@c"},
	{"an unfit one hides those below", "Delivered-To: fred@c, wilma@c\nDelivered-To: wilma@c\nReceived: by c\n", "", ""},
	{"folded", "Return-Path:\n\t<a@b>\nDelivered-To:\r\n fred@c\r\nReceived: by c\n", "a@b", "fred@c"},
	{"a source route", "Return-Path: <@x,@y:a@b>\nReceived: by c\n", "a@b", ""},
	{"a local name", "Delivered-To: fred\nReceived: by c\n", "", "fred"},
	{"any case and blanks", "RETURN-PATH : a@b\ndelivered-to:fred@c \nreceived: by c\n", "a@b", "fred@c"},
	{"UTF-8", "Delivered-To: müller@c\nReceived: by c\n", "", "müller@c"},
	{"no UTF-8", "Delivered-To: m\xfcller@c\nReceived: by c\n", "", ""},
	{"a space", "Delivered-To: fred flint@c\nReceived: by c\n", "", ""},
	{"CR, NUL, ESC", "Return-Path: <a\rb>\nDelivered-To: fr\x00ed@c\nX-Original-To: \x1b[2J\nReceived: by c\n", "", ""},
	{"no end of line", "Delivered-To: fred@c", "", ""},
	{"no field", "Delivered-To: fred@c\nrubbish\nReturn-Path: <a@b>\nReceived: by c\n", "", "fred@c"},
	{"as long as may be", "Delivered-To: " + strings.Repeat("x", 318) + "@c\nReceived: by c\n", "", strings.Repeat("x", 318) + "@c"},
	{"too long", "Delivered-To: " + strings.Repeat("x", 319) + "@c\nReceived: by c\n", "", ""},
	{"beyond what is looked at", "X: " + strings.Repeat("x", 17<<10) + "\nDelivered-To: fred@c\nReceived: by c\n", "", ""},
}

func TestParseEnvelope(t *testing.T) {
	for _, tt := range envelopes {
		want := maildrop.Envelope{Sender: tt.sender, Recipient: tt.recipient}
		for _, r := range []io.Reader{strings.NewReader(tt.text), iotest.OneByteReader(strings.NewReader(tt.text))} {
			if got, err := maildrop.ParseEnvelope(r); got != want || err != nil {
				t.Errorf("%s: %+v, %v; want %+v", tt.name, got, err, want)
			}
		}
	}
	broken := errors.New("disk is on fire")
	if _, err := maildrop.ParseEnvelope(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
	endless := iotest.OneByteReader(io.MultiReader(strings.NewReader("Return-Path: <a@b>\n"), zeros{}))
	if got, err := maildrop.ParseEnvelope(endless); got.Sender != "a@b" || err != nil {
		t.Errorf("a message without an end: %+v, %v", got, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// FuzzEnvelope: whatever a message holds, its envelope is fit for the wire, and
// what follows the topmost Received makes no difference.
func FuzzEnvelope(f *testing.F) {
	for _, tt := range envelopes {
		f.Add([]byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := maildrop.ParseEnvelope(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range []string{e.Sender, e.Recipient} {
			if len(addr) > 320 || strings.ContainsFunc(addr, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '<' || r == '>' }) {
				t.Errorf("address %q", addr)
			}
		}
		const top = "Received: from the site\n"
		forged, err := maildrop.ParseEnvelope(strings.NewReader(top + string(text)))
		if forged != (maildrop.Envelope{}) || err != nil {
			t.Errorf("below the site's Received: %+v, %v", forged, err)
		}
	})
}
