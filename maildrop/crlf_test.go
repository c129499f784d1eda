package maildrop_test

import (
	"bytes"
	"errors"
	"testing"

	"kpopd/maildrop"
)

// FuzzCRLF: what a CRLFWriter makes of any octets, however they come, is what
// Measure says that they become, and stays as it is.
func FuzzCRLF(f *testing.F) {
	for _, s := range []string{"", "\r", "\n", "a\nb", "a\r\n.b", "\r\r\n\n", "x\r"} {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 1000)
	}
	f.Fuzz(func(t *testing.T, text []byte, chunk int) {
		got := toCRLF(t, text, 1+chunk&0xfff)
		size, _, err := maildrop.Measure(bytes.NewReader(text))
		if err != nil || int64(len(got)) != size {
			t.Errorf("%q becomes %q, %d octets, want %d (%v)", text, got, len(got), size, err)
		}
		if want := naiveCRLF(text); !bytes.Equal(got, want) {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
		if again := toCRLF(t, got, 1+chunk&0xfff); !bytes.Equal(again, got) {
			t.Errorf("%q becomes %q, and then %q", text, got, again)
		}
	})
}

func toCRLF(t *testing.T, text []byte, chunk int) []byte {
	var b bytes.Buffer
	w := maildrop.CRLFWriter{W: &b}
	for len(text) > 0 {
		n, err := w.Write(text[:min(chunk, len(text))])
		if err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func naiveCRLF(text []byte) (out []byte) {
	last := byte('\n')
	for i, b := range text {
		if b == '\n' && (i == 0 || last != '\r') {
			out = append(out, '\r')
		}
		out, last = append(out, b), b
	}
	if last != '\n' {
		out = append(out, "\r\n"...)
	}
	return out
}

// What W refuses is not taken for written.
func TestCRLFWriterFails(t *testing.T) {
	full := errors.New("full")
	w := maildrop.CRLFWriter{W: writerFunc(func(p []byte) (int, error) {
		if bytes.ContainsRune(p, '!') || string(p) == "\r\n" {
			return 0, full
		}
		return len(p), nil
	})}
	if n, err := w.Write([]byte("one\n!")); n != 0 || err != full {
		t.Errorf("Write = %d, %v", n, err)
	}
	if n, err := w.Write([]byte("one\ntwo")); n != 7 || err != nil {
		t.Errorf("Write = %d, %v", n, err)
	}
	if err := w.Close(); err != full {
		t.Errorf("Close = %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
