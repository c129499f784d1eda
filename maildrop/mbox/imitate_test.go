package mbox_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kpopd/maildrop/mbox"
)

// shown is what the golden file says that three servers show of a message.
type shown map[mbox.UIDs]string

func readShown(t *testing.T) (all []shown) {
	t.Helper()
	text, err := os.ReadFile("testdata/servers.golden")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var n int
		var popa, tpop, qpop string
		if _, err := fmt.Sscanf(line, "%d %q %q %q", &n, &popa, &tpop, &qpop); err != nil || n != len(all)+1 {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, shown{mbox.ByPopa3d: popa, mbox.ByTpop3d: tpop, mbox.ByQpopper: qpop})
	}
	return all
}

var ourDigest = regexp.MustCompile(`^[0-9a-f]{32}(-[0-9]+)?$`)

// TestServers compares unique-ids with those that the servers show of the same
// file. What RFC 1939 does not allow, or an earlier message has, is ours.
func TestServers(t *testing.T) {
	text, err := os.ReadFile("testdata/servers.mbox")
	if err != nil {
		t.Fatal(err)
	}
	want := readShown(t)
	for _, u := range []mbox.UIDs{mbox.ByPopa3d, mbox.ByTpop3d, mbox.ByQpopper} {
		f := newFixture(t)
		f.store.UIDs = u
		f.put(string(text))
		got := f.uids()
		if len(got) != len(want) {
			t.Fatalf("%s: %d messages of %d", u, len(got), len(want))
		}
		same := 0
		for i, uid := range got {
			theirs := want[i][u]
			first := !slices.ContainsFunc(want[:i], func(s shown) bool { return s[u] == theirs })
			valid := len(theirs) <= 70 && !strings.ContainsFunc(theirs, func(r rune) bool { return r < 0x21 || r > 0x7e })
			if valid && first && uid != theirs || !(valid && first) && (uid == theirs || !ourDigest.MatchString(uid)) {
				t.Errorf("%s: message %d is %q, and was %q", u, i+1, uid, theirs)
			}
			if uid == theirs {
				same++
			}
		}
		if same < 20 {
			t.Errorf("%s: only %d of %d are the same", u, same, len(want))
		}
		// Mail that is appended has its own, and changes none.
		f.add(message("7", "Received: later\nMessage-ID: <later@x>\n"))
		after := f.uids()
		f.want(after[:len(got)], got...)
		f.forget()
		f.want(f.uids(), after...)
	}
}

// FuzzImitate: how a message comes in parts makes no difference.
func FuzzImitate(f *testing.F) {
	text, err := os.ReadFile("testdata/servers.mbox")
	if err != nil {
		f.Fatal(err)
	}
	for i, message := range strings.SplitAfter(string(text), "\n\n") {
		f.Add([]byte(message), uint(i*97))
	}
	f.Fuzz(func(t *testing.T, message []byte, at uint) {
		i := int(at % uint(len(message)+1))
		for _, u := range mbox.AllUIDs[3:] {
			whole, parts := mbox.Imitate(u, message), mbox.Imitate(u, message[:i], message[i:])
			if whole != parts {
				t.Errorf("%s: %q at once, %q in parts", u, whole, parts)
			}
		}
	})
}
