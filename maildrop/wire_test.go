package maildrop_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"kpopd/maildrop"
	"kpopd/maildrop/storetest"
)

// naive applies the rule of Measure one octet at a time.
func naive(text []byte) (size int64, wireReady bool) {
	var wire []byte
	for i, c := range text {
		if c == '\n' && (i == 0 || text[i-1] != '\r') {
			wire = append(wire, '\r')
		}
		wire = append(wire, c)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		wire = append(wire, '\r', '\n')
	}
	dot := false
	for i, c := range wire {
		dot = dot || c == '.' && (i == 0 || wire[i-1] == '\n')
	}
	return int64(len(wire)), bytes.Equal(wire, text) && !dot
}

func TestMeasure(t *testing.T) {
	for _, test := range []struct {
		text  string
		size  int64
		ready bool
	}{
		{"", 0, true},
		{"\n", 2, false},
		{"\r\n", 2, true},
		{"\r", 3, false},
		{"a", 3, false},
		{"a\n", 3, false},
		{"a\r\n", 3, true},
		{"a\r\r\n", 4, true},
		{"a\rb\r\n", 5, true},
		{"a\n\rb\r\n", 7, false},
		{".\r\n", 3, false},
		{"a.\r\n", 4, true},
		{"a\r\n.b\r\n", 7, false},
		{"\x00\xff\r\n", 4, true},
	} {
		size, ready, err := maildrop.Measure(strings.NewReader(test.text))
		if size != test.size || ready != test.ready || err != nil {
			t.Errorf("Measure(%q) = %d, %v, %v; want %d, %v", test.text, size, ready, err, test.size, test.ready)
		}
	}
}

// However a text arrives, its measure is the same.
func TestMeasurePieces(t *testing.T) {
	for _, kind := range slices.Sorted(maps.Keys(storetest.Texts)) {
		text := storetest.Texts[kind]
		wantSize, wantReady := naive([]byte(text))
		for how, r := range map[string]io.Reader{
			"whole":       strings.NewReader(text),
			"octets":      iotest.OneByteReader(strings.NewReader(text)),
			"halves":      iotest.HalfReader(strings.NewReader(text)),
			"error early": iotest.DataErrReader(strings.NewReader(text)),
		} {
			size, ready, err := maildrop.Measure(r)
			if size != wantSize || ready != wantReady || err != nil {
				t.Errorf("%s, %s: %d, %v, %v; want %d, %v", kind, how, size, ready, err, wantSize, wantReady)
			}
		}
	}
}

func TestMeasureErrors(t *testing.T) {
	broken := errors.New("broken")
	if _, _, err := maildrop.Measure(io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken))); err != broken {
		t.Errorf("Measure = %v, want the reader's error", err)
	}
	if _, _, err := maildrop.Measure(idle{}); err != io.ErrNoProgress {
		t.Errorf("Measure = %v, want ErrNoProgress", err)
	}
}

// An idle reader never yields anything.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func FuzzMeasure(f *testing.F) {
	for _, text := range storetest.Texts {
		if len(text) < 1000 {
			f.Add([]byte(text), 3)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, piece int) {
		wantSize, wantReady := naive(text)
		var m maildrop.Meter
		piece = max(1, piece%97)
		for p := range slices.Chunk(text, piece) {
			m.Write(p)
		}
		if m.Octets() != int64(len(text)) || m.Size() != wantSize || m.WireReady() != wantReady {
			t.Errorf("Meter in pieces of %d: %d, %d, %v; want %d, %d, %v",
				piece, m.Octets(), m.Size(), m.WireReady(), len(text), wantSize, wantReady)
		}
		size, ready, err := maildrop.Measure(bytes.NewReader(text))
		if size != wantSize || ready != wantReady || err != nil {
			t.Errorf("Measure = %d, %v, %v; want %d, %v", size, ready, err, wantSize, wantReady)
		}
	})
}

func BenchmarkMeasure(b *testing.B) {
	line := strings.Repeat("x", 74)
	for _, bench := range []struct{ name, text string }{
		{"LF", strings.Repeat(line+"\n", 10_000)},
		{"CRLF", strings.Repeat(line+"\r\n", 10_000)},
		{"short lines", strings.Repeat("\n", 750_000)},
		{"small", strings.Repeat(line+"\n", 40)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.text)))
			b.ReportAllocs()
			r := strings.NewReader("")
			for b.Loop() {
				r.Reset(bench.text)
				maildrop.Measure(r)
			}
		})
	}
}
