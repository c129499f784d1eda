package mbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/mbox"
	"kpopd/maildrop/memory"
	"kpopd/maildrop/storetest"
)

func TestFromLine(t *testing.T) {
	for line, want := range map[string]bool{
		"From a@b Tue Nov 24 12:10:45 2026\n":                               true,
		"From a@b Tue Nov 24 12:10:45 2026\r\n":                             true,
		"From a@b  Tue Nov  4 12:10:45 2026\n":                              true,
		"From a@b Tue Nov 24 12:10 2026\n":                                  true, // no seconds
		"From a@b Tue Nov 24 12:10:45 MET 2026\n":                           true,
		"From a@b Tue Nov 24 12:10:45 MET DST 2026\n":                       true,
		"From a@b Tue Nov 24 12:10:45 2026 +0100\n":                         true,
		"From a@b Tue Nov 24 12:10:45 +0100 2026\n":                         true,
		"From a@b Tue Nov 24 12:10:45 2026 remote from host\n":              true,
		"From a@b Tue, 24 Nov 2026 12:10:45 +0100\n":                        true,
		"From host!user Tue Nov 24 12:10:45 2026\n":                         true,
		"From \"a b\"@c Tue Nov 24 12:10:45 2026\n":                         true,
		"From Tue Nov 24 12:10:45 2026\n":                                   true, // no sender
		"From - Tue Nov 24 12:10:45 2026\n":                                 true, // Mozilla
		"From ???@??? Tue Nov 24 12:10:45 2026\n":                           true, // Eudora
		"From a@b Tue Nov 24 23:59:60 2026\n":                               true,
		"From a@b tue nov 24 12:10:45 2026\n":                               true,
		"From " + strings.Repeat("x", 900) + " Tue Nov 24 12:10:45 2026\n":  true,
		"From " + strings.Repeat("x", 1000) + " Tue Nov 24 12:10:45 2026\n": false,
		"From a@b Tue Nov 24 12:10:45 2026":                                 false, // no end
		"from a@b Tue Nov 24 12:10:45 2026\n":                               false,
		"From:a@b Tue Nov 24 12:10:45 2026\n":                               false,
		"From\ta@b Tue Nov 24 12:10:45 2026\n":                              false,
		">From a@b Tue Nov 24 12:10:45 2026\n":                              false,
		"From now on we meet on Tue Nov 24\n":                               false,
		"From me to you, on Tue Nov 24 at noon, 12:10:45, in 2026\n":        false,
		"From a@b Tue Nov 32 12:10:45 2026\n":                               false,
		"From a@b Tue Nov 24 24:10:45 2026\n":                               false,
		"From a@b Tue Nov 24 12:10:45\n":                                    false,
		"From a@b Tue Nov 24 12:10:45 26\n":                                 false,
		"From a@b Dienstag Nov 24 12:10:45 2026\n":                          false,
		"From \n": false,
		"":        false,
	} {
		if got := mbox.FromLine([]byte(line)); got != want {
			t.Errorf("%.60q: %t", line, got)
		}
	}
}

const (
	fromA = "From a@b Tue Nov 24 12:10:41 2026\n"
	fromB = "From b@c Tue Nov 24 12:10:42 2026\n"
)

func TestScan(t *testing.T) {
	for _, tt := range []struct {
		name   string
		format mbox.Format
		text   string
		want   []string
	}{
		{"empty", mbox.RD, "", nil},
		{"only blank lines", mbox.RD, "\n\r\n\n", nil},
		{"blank lines first", mbox.RD, "\n\n" + fromA + "x: y\n\nz\n\n", []string{"x: y\n\nz\n"}},
		{"no blank line between", mbox.RD, fromA + "x: y\n\nz\n" + fromB + "a: b\n\nc\n", []string{"x: y\n\nz\n", "a: b\n\nc\n"}},
		{"several", mbox.RD, fromA + "x: y\n\nz\n\n\n\n" + fromB + "a: b\n\nc\n", []string{"x: y\n\nz\n\n\n", "a: b\n\nc\n"}},
		{"no end", mbox.RD, fromA + "x: y\n\nz", []string{"x: y\n\nz"}},
		{"only From_", mbox.RD, fromA + fromB, []string{"", ""}},
		{"CRLF", mbox.RD, strings.ReplaceAll(fromA+"x: y\n\nz\n\n"+fromB+"a: b\n\nc\n\n", "\n", "\r\n"), []string{"x: y\r\n\r\nz\r\n", "a: b\r\n\r\nc\r\n"}},
		{"quoted, rd", mbox.RD, fromA + "x: y\n\n>From a\n>>From b\n> From c\n>x\n", []string{"x: y\n\nFrom a\n>From b\n> From c\n>x\n"}},
		{"quoted, o", mbox.O, fromA + "x: y\n\n>From a\n>>From b\n", []string{"x: y\n\n>From a\n>>From b\n"}},
		{"From without date", mbox.O, fromA + "x: y\n\nFrom here\n", []string{"x: y\n\nFrom here\n"}},
		{"control fields", mbox.RD, fromA + "Status: RO\nx: y\nX-UIDL: a\n b\n\tc\nX-Status:\nx-keywords : z\nLines: 3\nX-Statuses: 1\n\nStatus: z\n", []string{"x: y\nX-Statuses: 1\n\nStatus: z\n"}},
		{"length, not asked for", mbox.RD, fromA + "Content-Length: 37\n\nz\n" + fromB, []string{"\nz\n", ""}},
		{"length", mbox.CL2, fromA + "Content-Length: 36\n\nz\n" + fromB + "\n" + fromB + "x\n", []string{"\nz\n" + fromB, "x\n"}},
		{"length to the end", mbox.CL2, fromA + "Content-Length: 36\n\nz\n" + fromB, []string{"\nz\n" + fromB}},
		{"length before From_", mbox.CL, fromA + "Content-Length: 36\n\nz\n" + fromB + fromA + "x\n", []string{"\nz\n" + fromB, "x\n"}},
		{"length too long", mbox.CL2, fromA + "Content-Length: 9999\n\nz\n" + fromB, []string{"\nz\n", ""}},
		{"length too short", mbox.CL2, fromA + "Content-Length: 1\n\nz\n" + fromB, []string{"\nz\n", ""}},
		{"length no number", mbox.CL2, fromA + "Content-Length: -1\n\nz\n" + fromB, []string{"\nz\n", ""}},
		{"length in the body", mbox.CL2, fromA + "\nContent-Length: 36\n\nz\n" + fromB, []string{"\nContent-Length: 36\n\nz\n", ""}},
		{"two lengths", mbox.CL2, fromA + "Content-Length: 2\nContent-Length: 36\n\nz\n\n" + fromB, []string{"\nz\n", ""}},
	} {
		got, err := mbox.Scan(strings.NewReader(tt.text), int64(len(tt.text)), tt.format)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		var texts []string
		for _, m := range got {
			texts = append(texts, m.Visible)
			if size, _, _ := maildrop.Measure(strings.NewReader(m.Visible)); size != m.Size {
				t.Errorf("%s: size %d, measured %d", tt.name, m.Size, size)
			}
		}
		if fmt.Sprintf("%q", texts) != fmt.Sprintf("%q", tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, texts, tt.want)
		}
	}
	for _, text := range []string{"x", "x\n" + fromA, "Subject: x\n\n", "\n>" + fromA, "From x\n", "From nobody Tue Nov 24 2026\n"} {
		if got, err := mbox.Scan(strings.NewReader(text), int64(len(text)), mbox.RD); !errors.Is(err, mbox.ErrNotMbox) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// FuzzScan: the messages of any file lie one behind another, are as long as
// they say, and nothing of them is lost but control fields and quotes.
func FuzzScan(f *testing.F) {
	for i := range mbox.Formats {
		f.Add([]byte(fromA+"Status: RO\nx: y\n z\nContent-Length: 4\n\n>From z\n\n"+fromB+"\n\r\n"), uint8(i))
	}
	f.Fuzz(func(t *testing.T, text []byte, n uint8) {
		format := mbox.Formats[int(n)%len(mbox.Formats)]
		all, err := mbox.Scan(strings.NewReader(string(text)), int64(len(text)), format)
		if err != nil {
			if !errors.Is(err, mbox.ErrNotMbox) {
				t.Fatal(err)
			}
			return
		}
		at := int64(-1)
		for _, m := range all {
			if at >= 0 && m.Offset != at || m.End < m.Offset || m.End > int64(len(text)) {
				t.Fatalf("%d to %d after %d of %d", m.Offset, m.End, at, len(text))
			}
			at = m.End
			size, ready, _ := maildrop.Measure(strings.NewReader(m.Visible))
			if size != m.Size || ready != m.WireReady || m.Plain != (m.Text == m.Visible) || len(m.Visible) > len(m.Text) {
				t.Errorf("%+v: size %d, %t", m, size, ready)
			}
		}
		if len(all) > 0 && at != int64(len(text)) {
			t.Errorf("the last ends at %d of %d", at, len(text))
		}
	})
}

// FuzzDeliver: what was delivered is listed, as it was but for what no mailbox
// can hold, between what was there and what comes.
func FuzzDeliver(f *testing.F) {
	for i := range mbox.Formats {
		f.Add([]byte("From a\n>From b\nx: y\n\n"+fromA+">>From c"), uint8(i))
		f.Add([]byte("\r"), uint8(i))
		f.Add([]byte(" a\n\n\n"), uint8(i))
		f.Add([]byte("Content-Length: 3\n Status: x\n\n"+fromA+"\n"), uint8(i))
	}
	f.Fuzz(func(t *testing.T, text []byte, n uint8) {
		format := mbox.Formats[int(n)%len(mbox.Formats)]
		base := newBase(t, storetest.TempDir(t))
		store := newStore(base, format)
		for _, m := range []string{"first\n", string(text), "x: y\n\nlast\n"} {
			if err := store.Deliver(t.Context(), "alice", strings.NewReader(m)); err != nil {
				t.Fatal(err)
			}
		}
		d, err := maildrop.Open(t.Context(), "alice", new(memory.Locker), store)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		want := []string{"first\n", keep(string(text), format), "x: y\n\nlast\n"}
		if d.Count() != len(want) {
			t.Fatalf("%d messages", d.Count())
		}
		for n, m := range d.All() {
			got, err := read(d, n)
			if size, _, _ := maildrop.Measure(strings.NewReader(got)); err != nil || got != want[n-1] || size != m.Size {
				t.Errorf("message %d: %q, want %q; size %d, want %d (%v)", n, got, want[n-1], m.Size, size, err)
			}
		}
	})
}

// FuzzState: whatever stands in an index or a journal is read, or refused.
func FuzzState(f *testing.F) {
	f.Add([]byte("kpopd mbox index 2\n"))
	f.Add([]byte("kpopd mbox append 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if again, err := mbox.DecodeIndex(b); err == nil {
			if third, err := mbox.DecodeIndex(again); err != nil || string(third) != string(again) {
				t.Errorf("an index that was read is written otherwise: %v", err)
			}
		}
		if again := mbox.DecodeAppending(b); again != nil && string(again) != string(b) {
			t.Error("a journal that was read is written otherwise")
		}
	})
}

// A pattern is a file of any size that takes no room: pieces one after another,
// each repeated.
type pattern []struct {
	text  string
	times int64
}

func (p pattern) size() (n int64) {
	for _, part := range p {
		n += int64(len(part.text)) * part.times
	}
	return n
}

// ReadAt implements [io.ReaderAt].
func (p pattern) ReadAt(b []byte, off int64) (n int, err error) {
	for _, part := range p {
		length := int64(len(part.text)) * part.times
		for off < length && n < len(b) {
			c := copy(b[n:], part.text[off%int64(len(part.text)):])
			c = int(min(int64(c), length-off))
			n, off = n+c, off+int64(c)
		}
		off -= length
		off = max(off, 0)
	}
	if n < len(b) {
		err = io.EOF
	}
	return n, err
}

// A header line of 10 MB and a body of 64 MB take no more memory than others.
func TestHugeMessage(t *testing.T) {
	huge := pattern{{fromA, 1}, {"X: ", 1}, {"y", 10 << 20}, {"\n", 1}, {"z: 1\n", 1 << 20}, {"\n", 1}, {"0123456789\n", 64 << 20 / 11}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, size, err := mbox.Count(context.Background(), huge, huge.size(), mbox.RD)
	runtime.ReadMemStats(&after)
	if err != nil || n != 1 || size < huge.size() {
		t.Errorf("%d messages, %d octets, %v", n, size, err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
		t.Errorf("%d octets were allocated", used)
	}
}
