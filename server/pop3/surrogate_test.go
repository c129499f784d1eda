package pop3_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/mail"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"kpopd/server"
	"kpopd/server/pop3"
)

// padded is what fills a header up.
var padded = regexp.MustCompile(`X-Padding: (-+\r\n )*-*\r\n`)

// receivedField is a field that may go to make room.
const receivedField = "Received: from a.example.test by b.example.test with UTF8SMTPS id 1;\n\tThu, 1 Oct 2026 12:00:00 +0000\n"

// TestSurrogate: RFC 6858 §2, field by field, within the size of the message.
func TestSurrogate(t *testing.T) {
	for what, c := range map[string]struct{ text, want string }{
		"ASCII": {"From: a@b\nSubject: c\n\nü\n", "From: a@b\nSubject: c\n\nü\n"},
		"a display name, which stays beside its address": {
			receivedField + "From: Jörg <jo@example.test>\n\nüber\n",
			"From: =?utf-8?q?J=C3=B6rg?=\r\n <jo@example.test>\r\n\r\nüber\n"},
		"an address, which is nobody's": {
			receivedField + "To: Jörg <jörg@example.test>, bob@example.test\n\n",
			"To: =?utf-8?q?J=C3=B6rg?=\r\n <invalid@internationalized-address.invalid>,\r\n <bob@example.test>\r\n\r\n"},
		"a list that cannot be read": {
			receivedField + "Cc: Jörg <jörg@\n\n",
			"Cc: =?utf-8?b?SsO2cmcgPGrDtnJnQA==?=\r\n <invalid@internationalized-address.invalid>\r\n\r\n"},
		"a subject in UTF-8, partly encoded already": {
			receivedField + "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus Köln\n\n",
			"Received:  from a.example.test by b.example.test with UTF8SMTPS id 1;\r\n\tThu, 1 Oct 2026 12:00:00 +0000\r\nSubject: =?utf-8?b?R3LDvMOfZSBhdXMgS8O2bG4=?=\r\n\r\n"},
		"other fields go":            {"From: a@b.example\nX-Städte: Köln\nComments: Köln\nX-Stadt: Köln am Rhein\n\nKöln", "From: a@b.example\r\nX-St__dte: K__ln\r\n\r\nKöln"},
		"too few octets for a field": {"From: a@b\nA: ü\n\n", "From:        a@b\r\n\r\n"},
		"no field at all":            {"Köln\n", "K__ln\r\n"},
		"parameters":                 {"Content-Type: text/plain; name=\"Köln.txt\"\n\nKöln\n", "Content-Type: text/plain; name=\"K__ln.txt\"\r\n\r\nKöln\n"},
	} {
		got, ok, err := pop3.Surrogate(c.text)
		if err != nil || !ok {
			t.Errorf("%s: %v, %v", what, ok, err)
			continue
		}
		if padded.ReplaceAllString(got, "") != c.want {
			t.Errorf("%s:\n%q, want\n%q", what, got, c.want)
		}
		faithful(t, c.text, got)
	}
}

// faithful checks what holds of every surrogate.
func faithful(t *testing.T, text, surrogate string) {
	t.Helper()
	if a, b := onWire(text), onWire(surrogate); a != b {
		t.Errorf("%q has %d octets, and its surrogate %d: %q", text, a, b, surrogate)
	}
	top, err := io.ReadAll(pop3.NewTop(strings.NewReader(surrogate), 0))
	if err != nil && !errors.Is(err, server.ErrPart) || !isASCII(string(top)) {
		t.Errorf("%q: the header is not ASCII: %q, %v", text, top, err)
	}
	before, err := io.ReadAll(pop3.NewTop(strings.NewReader(text), 0))
	if err != nil && !errors.Is(err, server.ErrPart) {
		t.Fatal(err)
	}
	for i, a := range []byte(text[len(before):]) {
		if b := surrogate[len(top)+i]; a != b && (a < utf8.RuneSelf || b != '_') {
			t.Fatalf("%q: the body has changed: %q", text, surrogate)
		}
	}
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

// onWire is the size of a message as RETR sends it, without stuffed dots.
func onWire(text string) int {
	n := 0
	for line := range bytes.Lines([]byte(text)) {
		n += len(line)
		if !bytes.HasSuffix(line, []byte("\r\n")) {
			n++
		}
		if !bytes.HasSuffix(line, []byte("\n")) {
			n++
		}
	}
	return n
}

// What a client shows of a surrogate is what the message says.
func TestSurrogateIsRead(t *testing.T) {
	subject := "Grüße aus Köln, " + strings.Repeat("und noch ein längerer Satz ", 5) + "日本語の件名"
	text := strings.Repeat(receivedField, 12) + "From: \"Müller, Jörg\" <jo@example.test>\nTo: 山田 <太郎@例え.テスト>, Bob <bob@example.test>\nSubject: " + subject + "\nDate: Thu, 1 Oct 2026 12:00:00 +0000\n\nüber\n"
	got, ok, err := pop3.Surrogate(text)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	faithful(t, text, got)
	for line := range strings.Lines(got) {
		if strings.Contains(line, "=?") && len(line) > 78 {
			t.Errorf("RFC 2047 §2: %q", line)
		}
	}
	m, err := mail.ReadMessage(strings.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil || s != subject {
		t.Errorf("Subject: %q, %v", s, err)
	}
	from, err := m.Header.AddressList("From")
	if err != nil || len(from) != 1 || from[0].Name != "Müller, Jörg" || from[0].Address != "jo@example.test" {
		t.Errorf("From: %v, %v", from, err)
	}
	to, err := m.Header.AddressList("To")
	if err != nil || len(to) != 2 || to[0].Name != "山田" || to[0].Address != "invalid@internationalized-address.invalid" || to[1].Address != "bob@example.test" {
		t.Errorf("To: %v, %v", to, err)
	}
	if n := len(m.Header["Received"]); n == 12 {
		t.Error("nothing made room")
	}
}

// Without room for encoded words, no octet is added.
func TestSurrogateWithoutRoom(t *testing.T) {
	for text, want := range map[string]string{
		"Subject: Grüße\n\n": "Subject: Gr____e\r\n\r\n",
		"From: Jörg <jo@example.test>, \"J. (Ö)\" <jörg@example.test>\n\n":             "From: J__rg <jo@example.test>, \"J. (__)\" <j__rg_exam@invalid>\r\n\r\n",
		"To: ü@ü, \xfc@x.example, müller\n\n":                                          "To: _____, __x@invalid, m__ller\r\n\r\n",
		"X-A: 0123456789\nSubject: Grüße\n\n":                                          "Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\n\r\n", // 17 octets, as are needed
		"X-A: 012345678\nSubject: Grüße\n\n":                                           "X-A: 012345678\r\nSubject: Gr____e\r\n\r\n",
		"A: ü\n\n":                                                                     "X:   \r\n\r\n",
		"X-A: 0123456789012345678901\nTo: bob\nSubject: Grüße\nFrom: Müller <a@b>\n\n": "To:             bob\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\nFrom: M__ller <a@b>\r\n\r\n",
	} {
		got, ok, err := pop3.Surrogate(text)
		if !ok || err != nil || got != want {
			t.Errorf("%q: %v, %v\n%q, want\n%q", text, ok, err, got, want)
		}
		faithful(t, text, got)
	}
}

// A header that is too large to be looked at as a whole has no surrogate, unless
// it is ASCII.
func TestNoSurrogate(t *testing.T) {
	large := strings.Repeat("A: b\n", 20_000)
	if got, ok, err := pop3.Surrogate(large + "Subject: Grüße\n\n"); ok || err != nil {
		t.Errorf("%.100q, %v", got, err)
	}
	if got, ok, err := pop3.Surrogate(large + "\nKöln"); !ok || err != nil || got != large+"\nKöln" {
		t.Errorf("%.100q, %v, %v", got, ok, err)
	}
}

// The headers of parts, at any depth, are ASCII; what they hold stays.
func TestSurrogateParts(t *testing.T) {
	part := "Content-Disposition: attachment; filename=\"Köln.txt\"\n"
	masked := strings.ReplaceAll(part, "ö", "__")
	mail := func(part string) string {
		return "From: a@b.example\nContent-Type: multipart/mixed;\n\tboundary=\"=_ü\"; boundary=b1\n\n" + "Köln\n--b1--\n" +
			"--b1 \t\n" + part + "\nKöln\n\n" + part + "\n--b2\nContent-Note: Köln\n\n--b1x\n" + part + "\n" +
			"--b1\nContent-Type: multipart/alternative; boundary=\"b 2\"\n\n--b 2\n" + part + "\n" + part + "\n--b 2--\n" +
			"--b1\nContent-Type: message/rfc822\n\n" + part + "Content-Type: multipart/mixed; boundary=b3\n\n--b3\n" + part + "\nKöln\n--b3--\n--b1--\nKöln\n"
	}
	text := strings.Replace(mail(part), "boundary=\"=_ü\"; ", "", 1)
	// Behind the blank line of the first part, of the second alternative, and
	// beneath a delimiter that is none, they are text.
	want := text
	for _, header := range []string{"--b1 \t\n", "--b 2\n", "message/rfc822\n\n", "--b3\n"} {
		want = strings.Replace(want, header+part, header+masked, 1)
	}
	got, ok, err := pop3.Surrogate(text)
	if err != nil || !ok || got != want {
		t.Errorf("%v, %v:\n%s\nwant\n%s", ok, err, got, want)
	}
	faithful(t, text, got)
}

// FuzzSurrogate: a surrogate has an ASCII header, the size of the message, and
// its body.
func FuzzSurrogate(f *testing.F) {
	for _, s := range []string{
		"", "\n", "ü", "ü\r", "\xe9\n", "A: ü\n\n", "A:ü\n B\n\n", ".\n\n", "From: Jörg <jörg@example.test>, a:b@c;\r\n\r\nbody", receivedField + "Subject: Grüße\n =?utf-8?q?x?=\n\n.\n",
		"X-A: b\nReturn-Path: <ü@b>\nTo: ü: a@b, c@d;\n\n", "Content-Type: multipart/mixed; boundary=b\nX: ü\n\n--b\nA: ü\n\nü\n--b--\n", "Content-Type: message/global\n\nA: ü\n\nü",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok, err := pop3.Surrogate(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if ok {
			faithful(t, text, got)
		}
	})
}
