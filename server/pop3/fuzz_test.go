package pop3_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"kpopd/maildrop"
	"kpopd/server"
	"kpopd/server/pop3"
)

// sessions are conversations for fuzzers and mutations to begin with.
var sessions = []string{
	"USER alice\r\nPASS wonderland\r\nSTAT\r\nLIST\r\nUIDL\r\nRETR 1\r\nTOP 2 1\r\nDELE 1\r\nRSET\r\nNOOP\r\nQUIT\r\n",
	"APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\nSTAT\r\nQUIT\r\n",
	"CAPA\r\nAUTH\r\nAUTH PLAIN\r\nAGFsaWNlAHdvbmRlcmxhbmQ=\r\nLIST 1\r\nUIDL 2\r\nCAPA\r\nDELE 2\r\nQUIT\r\n",
	"AUTH PLAIN AGFsaWNlAHdvbmRlcmxhbmQ=\r\nRETR 1\r\nRETR 2\r\nRETR 3\r\nTOP 1 99999999\r\n",
	"AUTH TOY bW9yZQ==\r\n\r\n=\r\n*\r\n*\r\nAUTH TOY ZGF0YTphbGljZQ==\r\n\r\nSTAT\r\n",
	"CAPA\r\nSTLS\r\n",
	"LANG\r\nLANG de\r\nUTF8\r\nUSER m\xc3\xbcller\r\nPASS gr\xc3\xbc\xc3\x9fe\r\nLANG ja-JP\r\nSTAT\r\nLANG *\r\nQUIT\r\n",
	"USER alice\nPASS wrong\nLAST\nXDELE 1\n\n\x00\xff\nAUTH NTLM\n*\nQUIT\n",
}

var sessionMail = []string{"A: 1\n\none\n", ".\r\n\r\n..\r\n.", "\x00\r\xff"}

// FuzzParse sends octets as commands, before and after login: each line gets
// one reply, and multi-line ones have an end.
func FuzzParse(f *testing.F) {
	for _, s := range sessions {
		f.Add([]byte(s))
	}
	w := newPlainWorld(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, before := range []string{"", "USER alice\r\nPASS wonderland\r\n"} {
			w.renew(t, sessionMail...)
			w.check(t, append([]byte(before), input...))
		}
	})
}

// TestMutations is a short, repeatable fuzz of whole sessions, which also
// looks at what they leave behind.
func TestMutations(t *testing.T) {
	const rounds = 10_000
	w := newPlainWorld(t)
	rnd := rand.New(rand.NewPCG(1939, 2449))
	play := func(n int) {
		for range n {
			w.renew(t, sessionMail...)
			w.check(t, mutate(rnd, []byte(sessions[rnd.IntN(len(sessions))])))
		}
	}
	play(rounds / 10) // pools are full by now
	before := heap()
	play(rounds)
	if after := heap(); after > before+4<<20 {
		t.Errorf("heap grew from %d to %d octets in %d sessions", before, after, rounds)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first moves what is in pools aside
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// mutate does one to eight random things to a conversation.
func mutate(rnd *rand.Rand, p []byte) []byte {
	for range 1 + rnd.IntN(8) {
		if len(p) == 0 {
			break
		}
		i := rnd.IntN(len(p))
		j := i + rnd.IntN(len(p)-i)
		switch rnd.IntN(7) {
		case 0:
			p[i] ^= 1 << rnd.IntN(8)
		case 1:
			p[i] = byte(rnd.Uint32())
		case 2: // leave out
			p = append(p[:i:i], p[j:]...)
		case 3: // repeat
			p = append(p[:j:j], p[i:]...)
		case 4: // end early
			p = p[:i]
		case 5: // a large piece
			p = append(append(p[:i:i], bytes.Repeat([]byte{p[i]}, rnd.IntN(3000))...), p[i:]...)
		case 6: // a piece of another conversation
			other := sessions[rnd.IntN(len(sessions))]
			p = append(append(p[:i:i], other[rnd.IntN(len(other)):]...), p[i:]...)
		}
	}
	return p
}

// FuzzTop compares TOP's reader with the words of RFC 1939 §7, for any octets
// and however they come.
func FuzzTop(f *testing.F) {
	for _, s := range []string{"", "\n", "A: b\n\none\ntwo\n", "A: b\r\n\r\none\r\n\r\ntwo", "\r\r\n\n", "A\n \n\n", "\r"} {
		f.Add([]byte(s), 1)
	}
	f.Fuzz(func(t *testing.T, text []byte, lines int) {
		lines &= 0xffff
		want, part := naiveTop(text, lines)
		end := error(nil)
		if part {
			end = server.ErrPart
		}
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(text), "octets": iotest.OneByteReader(bytes.NewReader(text)),
			"halves": iotest.HalfReader(bytes.NewReader(text)), "data with EOF": iotest.DataErrReader(bytes.NewReader(text)),
		} {
			got, err := io.ReadAll(pop3.NewTop(r, lines))
			if err != end || string(got) != want {
				t.Errorf("%s: TOP %d of %q is %q, %v, want %q", name, lines, text, got, err, want)
			}
		}
	})
}

func naiveTop(text []byte, n int) (top string, part bool) {
	lines := strings.SplitAfter(string(text), "\n")
	for i, line := range lines {
		if line == "\n" || line == "\r\n" {
			return strings.Join(lines[:min(i+1+n, len(lines))], ""), i+1+n < len(lines)
		}
	}
	return string(text), false
}

// FuzzRetr keeps any octets as a message, and fetches it: what LIST announces
// is what RETR sends, after Measure's rule and dot-stuffing as RFC 1939 §3 has
// it; TOP is RETR's beginning.
func FuzzRetr(f *testing.F) {
	for _, s := range []string{"", ".", "A: b\n\n.\n..\nx", "A: b\r\n\r\n.\r\n", "\r\n.\r\r\n\n\x00", "\n.\n", "A\r"} {
		f.Add([]byte(s), uint16(1))
	}
	w := newPlainWorld(f)
	f.Fuzz(func(t *testing.T, text []byte, lines uint16) {
		w.renew(t, string(text))
		size, ready, err := maildrop.Measure(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		wire := naiveWire(text)
		if int(size) != len(wire) || ready != (string(text) == wire && stuff(wire) == wire) {
			t.Errorf("Measure of %q: %d, %v; it is %q on the wire", text, size, ready, wire)
		}
		top, _ := naiveTop(text, int(lines))
		top = naiveWire([]byte(top))
		got := w.converse(t, fmt.Appendf(nil, "USER alice\r\nPASS wonderland\r\nLIST 1\r\nRETR 1\r\nTOP 1 %d\r\nQUIT\r\n", lines))
		want := fmt.Sprintf("+OK pop.example.test POP3 server ready %s\r\n+OK Send PASS\r\n+OK 1 messages (%d octets)\r\n+OK 1 %d\r\n"+
			"+OK %d octets\r\n%s.\r\n+OK Top of message follows\r\n%s.\r\n+OK Bye\r\n",
			timestamp, size, size, size, stuff(wire), stuff(top))
		if string(got) != want {
			t.Errorf("message %q, TOP %d\ngot  %q\nwant %q", text, lines, got, want)
		}
	})
}

// naiveWire gives a text its line ends.
func naiveWire(text []byte) string {
	var out strings.Builder
	for i, b := range text {
		if b == '\n' && (i == 0 || text[i-1] != '\r') {
			out.WriteByte('\r')
		}
		out.WriteByte(b)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' {
		out.WriteString("\r\n")
	}
	return out.String()
}

// stuff doubles the dot that begins a line.
func stuff(wire string) string {
	var out strings.Builder
	for line := range strings.SplitAfterSeq(wire, "\n") {
		if strings.HasPrefix(line, ".") {
			out.WriteByte('.')
		}
		out.WriteString(line)
	}
	return out.String()
}
