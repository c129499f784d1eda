package storetest

import (
	"errors"
	"slices"

	"kpopd/maildrop"
)

// stamped are messages as a delivery agent leaves them, and their envelopes.
var stamped = []struct {
	text     string
	envelope maildrop.Envelope
}{
	{"Return-Path: <a@example.test>\nDelivered-To: fred@host.test\nReceived: from x\n\none\n",
		maildrop.Envelope{Sender: "a@example.test", Recipient: "fred@host.test"}},
	{"Return-Path: <>\r\nX-Original-To: Wilma@host.test\r\nDelivered-To: all@host.test\r\nReceived: from x\r\n\r\ntwo\r\n",
		maildrop.Envelope{Recipient: "Wilma@host.test"}},
	{"Received: from x\nDelivered-To: fred@host.test\n\nthree\n", maildrop.Envelope{}},
	{"Return-Path: <b@example.test>\nDelivered-To: host-FRED@host.test\nReceived: from x\n\nfour\n",
		maildrop.Envelope{Sender: "b@example.test", Recipient: "host-FRED@host.test"}},
	{"", maildrop.Envelope{}},
}

// envelopes: every store tells the envelopes of its messages.
func envelopes(s *suite) {
	for _, m := range stamped {
		s.deliver("host", m.text)
	}
	d := s.open(s.again(), "host")
	for i, m := range stamped {
		if got, err := d.Envelope(s.ctx, i+1); got != m.envelope || err != nil {
			s.Errorf("message %d: envelope %+v, %v; want %+v", i+1, got, err, m.envelope)
		}
	}
	for _, n := range []int{0, len(stamped) + 1} {
		if _, err := d.Envelope(s.ctx, n); !errors.Is(err, maildrop.ErrNoMessage) {
			s.Errorf("message %d: %v, want ErrNoMessage", n, err)
		}
	}
	s.closeDrop(d)
	if _, err := d.Envelope(s.ctx, 1); !errors.Is(err, maildrop.ErrStale) {
		s.Errorf("after Close: %v, want ErrStale", err)
	}
}

// part: a part shows what is for one recipient, under the unique-ids of the
// whole, and removes nothing else. Its lock is the whole's.
func part(s *suite) {
	for _, m := range stamped {
		s.deliver("host", m.text)
	}
	whole := s.list("host")
	of := func(recipient string) *maildrop.Part {
		return &maildrop.Part{Store: s.again(), Recipient: recipient, Host: "host"}
	}
	for recipient, want := range map[string][]int{"": {0, 1, 2, 3, 4}, "fred": {0, 3}, "WILMA": {1}, "all": nil, "host-fred": nil} {
		d := s.open(of(recipient), "host")
		var messages []maildrop.Message
		for _, i := range want {
			messages = append(messages, whole[i])
		}
		if got := listing(d); !slices.Equal(got, messages) {
			s.Errorf("the part of %q is %v, want %v", recipient, got, messages)
		}
		for n, i := range want {
			if got := s.text(d, n+1); got != stamped[i].text {
				s.Errorf("message %d for %q is %q", n+1, recipient, got)
			}
		}
		if _, err := maildrop.Open(s.ctx, "host", s.locker, s.Store); !errors.Is(err, maildrop.ErrLocked) {
			s.Errorf("the whole beside the part of %q: %v, want ErrLocked", recipient, err)
		}
		s.closeDrop(d)
	}
	s.partUpdate(of("fred"), whole)
}

// partUpdate: the removal of the second of fred's messages leaves all others.
func (s *suite) partUpdate(fred *maildrop.Part, whole []maildrop.Message) {
	d := s.open(fred, "host")
	s.deliver("host", stamped[0].text)
	s.disturb("host")
	if e, err := d.Envelope(s.ctx, 2); e.Recipient != "FRED@host.test" || err != nil {
		s.Errorf("envelope of the second: %+v, %v", e, err)
	}
	if err := d.Delete(2); err != nil {
		s.Fatal(err)
	}
	s.update(d)
	if got := s.list("host"); len(got) != len(whole) || !slices.Equal(got[:4], slices.Delete(slices.Clone(whole), 3, 4)) {
		s.Errorf("after the removal %v, was %v", got, whole)
	}
}
