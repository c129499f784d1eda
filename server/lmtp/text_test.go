package lmtp

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
)

// onTheWire is what a client sends of a text whose lines end with CRLF: RFC 5321
// §4.5.2.
func onTheWire(text string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(text, "\r\n") {
		if strings.HasPrefix(line, ".") {
			b.WriteByte('.')
		}
		b.WriteString(line)
	}
	return b.String() + ".\r\n"
}

// stored is the definition of what becomes of a text.
func stored(text string) string {
	const kept = "\x00kept\x00"
	text = strings.ReplaceAll(text, "\r\r\n", kept) // of longer rows the last two
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.ReplaceAll(text, kept, "\r\r\n")
}

// decodeBy decodes wire in pieces of n octets, and returns what is left of it.
func decodeBy(d *decoder, wire string, n int) (text, rest string, ended bool) {
	var out []byte
	for len(wire) > 0 && !ended {
		var took int
		out, took, ended = d.decode(out, []byte(wire[:min(n, len(wire))]))
		wire = wire[took:]
	}
	return string(out), wire, ended
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "a\r\nb\r\n", ".\r\n..\r\n", "\n.\n", "\r\r\n.\r\n", ".\r", "\r", "a\n.\r\n", "\r\n\r\n."} {
		f.Add(s, 1)
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, text string, n int) {
		if n < 1 || strings.Contains(text, "kept") {
			return
		}
		chunked := decoder{chunked: true}
		got, _, _ := decodeBy(&chunked, text, n)
		if got += string(chunked.end(nil)); got != stored(text) {
			t.Errorf("chunks of %q: %q, want %q", text, got, stored(text))
		}
		if !strings.HasSuffix(text, "\r\n") && text != "" {
			text += "\r\n"
		}
		const next = "NOOP\r\n"
		got, rest, ended := decodeBy(new(decoder), onTheWire(text)+next, n)
		if got != stored(text) || rest != next || !ended {
			t.Errorf("%q: %q, want %q; %q follows", text, got, stored(text), rest)
		}
	})
}

// FuzzHeader: a header is what a plain reading of the whole text makes of it.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		"", "\n", "From a b\nReturn-Path: <a>\n x\nA: b\n\nReturn-Path: body\n", "Return-Path: x", "Received: a\nDelivered-To: b\n",
		"no field\nReturn-Path: x\n", " x\n", strings.Repeat("x", 2*fieldMax) + ": y\n", "Return-Path:" + strings.Repeat("x", 2*fieldMax) + "\n\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h := NewHeader(strings.NewReader(text))
		got, err := io.ReadAll(h)
		small := NewHeader(iotestOneByte{strings.NewReader(text)})
		again, err2 := io.ReadAll(small)
		if err != nil || err2 != nil || !bytes.Equal(got, again) {
			t.Fatalf("%q %v, by octets %q %v", got, err, again, err2)
		}
		if want := withoutReturnPath(text); string(got) != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	})
}

type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// withoutReturnPath is what passes through a Header, read line by line.
func withoutReturnPath(text string) string {
	var b strings.Builder
	drop, over := false, false
	for i, line := range strings.SplitAfter(text, "\n") {
		start := line[:min(len(line), fieldMax)]
		field := regexp.MustCompile(`^([!-9;-~]+)[ \t]*:`).FindStringSubmatch(start)
		switch {
		case over:
		case i == 0 && strings.HasPrefix(start, "From "):
			drop = true
		case strings.HasPrefix(start, " "), strings.HasPrefix(start, "\t"):
		case field == nil:
			over, drop = true, false
		default:
			drop = strings.EqualFold(field[1], "return-path")
		}
		if !drop {
			b.WriteString(line)
		}
	}
	return b.String()
}

// However long a header or its lines are, a Header remembers little.
func TestHeaderIsBounded(t *testing.T) {
	text := strings.NewReader("Received: x\n" + strings.Repeat("X: "+strings.Repeat("y", 10000)+"\nDelivered-To: "+strings.Repeat("z", 5000)+"\n", 1000))
	h := NewHeader(text)
	if n, err := io.Copy(io.Discard, h); err != nil || n != text.Size() {
		t.Errorf("%d octets, %v", n, err)
	}
	held := cap(h.line) + cap(h.out)
	for _, trace := range h.traces {
		held += len(trace)
	}
	if held > 512<<10 {
		t.Errorf("%d octets are held", held)
	}
	if h.CheckLoop("a") == nil {
		t.Error("a thousand deliveries are no loop")
	}
}
