package lmtp_test

import (
	"strings"
	"testing"

	"kpopd/maildrop"
	"kpopd/server/lmtp"
)

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<>", "<a@b>", `<"a b"@[127.0.0.1]> X=Y`, "<@x:a@b>", "<Postmaster>", `<"\"\\"@b>`, "<grün@bücher.test>", "<a@b", "a@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, rest, ok := lmtp.ParsePath(s)
		if !ok {
			return
		}
		if !strings.HasSuffix(s, rest) {
			t.Errorf("%q: rest %q", s, rest)
		}
		if a.Local == "" {
			if a.Domain != "" || !strings.HasPrefix(s, "<>") {
				t.Errorf("%q: %+v", s, a)
			}
			return
		}
		again, ok := lmtp.ParseAddress(a.String())
		if !ok || again != a {
			t.Errorf("%q: %+v is written as %q, which is read as %+v %v", s, a, a, again, ok)
		}
		if text := a.String(); strings.ContainsAny(text, "\r\n\x00") {
			t.Errorf("%q: control characters in %q", s, text)
		}
	})
}

// What *ENV finds is what the envelope said.
func TestHead(t *testing.T) {
	for _, c := range []struct{ sender, recipient, original, envSender, envRecipient string }{
		{"carol@elsewhere.test", "alice@example.test", "", "carol@elsewhere.test", "alice@example.test"},
		{"", "alice", "sales@example.test", "", "sales@example.test"},
		{"grün@bücher.test", "", "", "grün@bücher.test", ""},
		{`"a b"@c.test`, "alice", "", "", "alice"}, // which no line of *ENV has room for
	} {
		sender, ok := lmtp.ParseAddress(c.sender)
		if !ok {
			t.Fatal(c.sender)
		}
		e := lmtp.Envelope{Sender: sender, Recipient: c.recipient, Original: c.original,
			From: "mx\r\nX-Envelope-To: forged", Client: "unix", By: "mail.test", With: "LMTP", ID: "1"}
		text := string(e.Head()) + "X-Original-To: forged@example.test\nSubject: x\n\n"
		got, err := maildrop.ParseEnvelope(strings.NewReader(text))
		if err != nil || got.Sender != c.envSender || got.Recipient != c.envRecipient {
			t.Errorf("%s\n%+v %v", text, got, err)
		}
	}
}
