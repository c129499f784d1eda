package migrate_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"kpopd/maildrop/migrate"
)

// fixture returns a file that the real server wrote.
func fixture(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	must(t, err)
	return string(text)
}

func lines(old []migrate.Old) (all []string) {
	for _, o := range old {
		all = append(all, fmt.Sprintf("%s %d %s", o.UID, o.Size, o.Base))
	}
	return all
}

func same(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// What Dovecot 2.3.19 wrote with pop3_save_uidl, beside what it showed.
func TestReadUIDList(t *testing.T) {
	l, err := migrate.ReadUIDList("f", strings.NewReader(fixture(t, "dovecot-uidlist")))
	must(t, err)
	letter, err := migrate.ReadKeywords("f", strings.NewReader(fixture(t, "dovecot-keywords")), migrate.HiddenKeyword)
	must(t, err)
	if letter != 'a' || !migrate.HasFlag("b:2,Sa", letter) || migrate.HasFlag("ba:2,S", letter) || migrate.HasFlag("b:2,S,a", letter) {
		t.Errorf("letter %q", letter)
	}
	format, err := migrate.ParseFormat("%f")
	must(t, err)
	old, err := l.Messages(migrate.DovecotPOP3{Format: format})
	must(t, err)
	same(t, lines(old), []string{
		"000000016b058aaf 77 1328372225.M12P7.old.example", "000000026b058aaf 77 1328372226.M1P7.old.example,S=71,W=77",
		"000000036b058aaf 79 1328372227.M2'P7.old name", "000000046b058aaf 80 1328372228.M3+P7.old",
	})
}

// What older and migrated ones look like.
func TestUIDListKinds(t *testing.T) {
	for text, want := range map[string][]string{
		"1 1328372225 9\n3 a:2,S\n8 b\n":                                {"3/1328372225 0 a", "8/1328372225 0 b"},
		"3 V7 N9\n1 O2 :a\n2 :b\n3 O1 Pown W9 Gx :c:2,\n4 P O2 X1 :d\n": {"own 9 c", "1/7 0 a", "d 0 d", "2/7 0 b"},
		"3 V7 N9 Gabc\n1 :a\n2 :b\n5 :a\n":                              {"2/7 0 b", "5/7 0 a"},
		"3 V7 N9\n1 :a b,W=12:2,\n":                                     {"1/7 12 a b,W=12"},
		"3 V7 N9\n":                                                     nil,
		"3 V4294967295 N9\n4294967295   P1  :x\n":                       {"1 0 x"},
	} {
		l, err := migrate.ReadUIDList("f", strings.NewReader(text))
		must(t, err)
		format, err := migrate.ParseFormat("%u/%v")
		must(t, err)
		old, err := l.Messages(migrate.DovecotPOP3{Format: format})
		must(t, err)
		same(t, lines(old), want)
	}
}

func TestDuplicates(t *testing.T) {
	l, err := migrate.ReadUIDList("f", strings.NewReader("3 V7 N9\n1 Pu :a\n2 Pu :b\n3 Pu-2 :c\n4 Pu :d\n"))
	must(t, err)
	for rename, want := range map[bool][]string{
		true: {"u 0 a", "u-2 0 b", "u-2-2 0 c", "u-3 0 d"}, false: {"u 0 a", "u 0 b", "u-2 0 c", "u 0 d"},
	} {
		old, err := l.Messages(migrate.DovecotPOP3{Rename: rename})
		must(t, err)
		same(t, lines(old), want)
	}
}

// What Courier 1.0.16 wrote, and the versions before.
func TestReadSizeList(t *testing.T) {
	for text, want := range map[string][]string{
		fixture(t, "courierpop3dsizelist"): {
			"UID1-1795525294 77 1328372225.M12P7.old.example", "UID2-1795525294 78 1328372226.M1P7.old.example,S=71,W=77",
			"UID3-1795525294 79 1328372227.M2'P7.old name", "UID4-1795525294 80 1328372228.M3+P7.old",
		},
		"/2 5 9\na b:2,S 35 1:9\nc 7 0:0\nd 8 3:0\n": {"UID1-9 35 a b", "c 7 c", "UID3 8 d"},
		"/1 5\na:2, 35 1\nc 7 0\n":                   {"UID1 35 a", "c 7 c"},
		"1.M2'P7.old name:2,S 79\n1+\"\xff 3\n":      {"1.M2+27P7.old+20name 79 1.M2'P7.old name", "1+2B+22+FF 3 1+\"\xff"},
		"":                                           nil,
	} {
		old, err := migrate.ReadSizeList("f", strings.NewReader(text))
		must(t, err)
		same(t, lines(old), want)
	}
}

// A file that is damaged is an error with file and line, and no unique-ids.
func TestRefused(t *testing.T) {
	uidlist := func(r io.Reader) error { _, err := migrate.ReadUIDList("f", r); return err }
	sizes := func(r io.Reader) error { _, err := migrate.ReadSizeList("f", r); return err }
	capture := func(r io.Reader) error { _, err := migrate.ReadCapture("f", r); return err }
	for _, c := range []struct {
		read       func(io.Reader) error
		text, want string
	}{
		{uidlist, "", "f: not understood: there is no UIDVALIDITY"},
		{uidlist, "2 V1\n", `f:1: not understood: "2 V1" is no header of a dovecot-uidlist`},
		{uidlist, "3 V1 N2\n1 :a", "f:2: not understood: the last line has no end"},
		{uidlist, "3 V1 N2\n1 a\n", `f:2: not understood: field "a"`},
		{uidlist, "3 V1 N2\n2 :a\n1 :b\n", "f:3: not understood: UID 1 follows 2"},
		{uidlist, "3 V1 N2\n1 :../a\n", `f:2: not understood: file name "../a"`},
		{uidlist, "3 V1 N2\n1 O-1 :a\n", `f:2: not understood: "-1" is no number of 32 bits`},
		{uidlist, "3 V4294967296\n", `f:1: not understood: "4294967296" is no number of 32 bits`},
		{uidlist, "3 V1 N2\n1 P" + strings.Repeat("x", 9000) + " :a\n", "f:2: not understood: the line is too long"},
		{sizes, "/4 1 2\n", `f:1: not understood: "/4 1 2" is no header of a courierpop3dsizelist`},
		{sizes, "/3 1 2\na 1 1:2\n", `f:2: not understood: "1:2" has 2 parts, not 3`},
		{sizes, "/3 1 2\na 1\n", `f:2: not understood: "a" has too few fields`},
		{sizes, "/3 1 2\na -1 1:2:0\n", `f:2: not understood: "-1" is no size`},
		{sizes, "/3 1 2\na:2,S 1 1:2:0\na 1 2:2:0\n", "f:3: not understood: a stands twice"},
		{capture, "kpopd-capture 1\n1 - a\n", "f: not understood: the file ends before its last line"},
		{capture, "kpopd-capture 1\n1 xyz a\nend 1 0\n", `f:2: not understood: "xyz" is no digest`},
		{capture, "kpopd-capture 1\nend 0 00000000\n", `f:2: not understood: the last line says "0 00000000" of what is "0 aedc9841"`},
	} {
		err := c.read(strings.NewReader(c.text))
		if !errors.Is(err, migrate.ErrFormat) || err.Error() != c.want {
			t.Errorf("%.60q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestCapture(t *testing.T) {
	old := []migrate.Old{{UID: "a b~", Size: 7}, {UID: strings.Repeat("x", 90), Size: 0, Header: strings.Repeat("0f", 16)}}
	var b bytes.Buffer
	must(t, migrate.WriteCapture(&b, old))
	got, err := migrate.ReadCapture("f", &b)
	if err != nil || !slices.Equal(got, old) {
		t.Errorf("%v, %v", got, err)
	}
	for _, uid := range []string{"", "a\nb", "a\r"} {
		if err := migrate.WriteCapture(io.Discard, []migrate.Old{{UID: uid}}); !errors.Is(err, migrate.ErrFormat) {
			t.Errorf("unique-id %q: %v", uid, err)
		}
	}
}

// A header is the same with what servers change.
func TestDigestHeader(t *testing.T) {
	digest := func(text string) string {
		t.Helper()
		d, err := migrate.DigestHeader(strings.NewReader(text))
		must(t, err)
		return d
	}
	want := digest("Message-ID: <1@x>\nDate: now\nSubject: a b\n\nbody\n")
	for _, text := range []string{
		"Return-Path: <x>\r\nReceived: y\r\n z\r\nMESSAGE-id:<1@x>\r\nsubject: a\r\n\tb\r\nDate : now \r\nX-UID: 7\r\n\r\nother\r\n",
		"Date: now\nMessage-ID: <1@x>\nSubject: a b\nSubject: c\nStatus: RO\n",
		"Subject: a b\nDate: now\nX-Long: " + strings.Repeat("x", 100_000) + "\nMessage-ID: <1@x>\n\nSubject: body\n",
	} {
		if got := digest(text); got != want || len(want) != 32 {
			t.Errorf("%.60q: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{
		"Message-ID: <1@x>\nDate: now\nSubject: ab\n", "Message-ID: <1@x>\nDate: now\n\nSubject: a b\n", "Message-ID: <1@x>\nDate: now\nSubject: a b\nTo: x\n",
	} {
		if digest(text) == want {
			t.Errorf("%q is not another message", text)
		}
	}
	for _, text := range []string{"", "\n", "Received: x\n\nSubject: y\n", "no header\n"} {
		if got := digest(text); got != "" {
			t.Errorf("%q: %s", text, got)
		}
	}
	if _, err := migrate.DigestHeader(io.MultiReader(strings.NewReader("Subject: x"), brokenReader{})); err == nil {
		t.Error("a broken reader has a digest")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func FuzzReadUIDList(f *testing.F) {
	f.Add(fixture(f, "dovecot-uidlist"), migrate.DefaultFormat)
	f.Add("3 V7 N9\n1 O2 :a\n2 :b\n3 O1 Pown W9 Gx :c:2,\n", "%-4.3v%1.04u%2.0-3f%.-2v%XRv%2.256Nu")
	f.Add("1 1328372225 9\n3 a:2,S\n8 b\n", "%{uid | hex(8)}")
	f.Fuzz(func(t *testing.T, text, format string) {
		l, err := migrate.ReadUIDList("f", strings.NewReader(text))
		if err == nil && l.Validity == 0 {
			t.Fatal("no UIDVALIDITY")
		}
		pop3 := migrate.DovecotPOP3{Rename: true}
		var formatErr error
		pop3.Format, formatErr = migrate.ParseFormat(format)
		if err != nil || formatErr != nil {
			return
		}
		old, err := l.Messages(pop3)
		if err == nil {
			checkOld(t, old)
		}
	})
}

func FuzzReadSizeList(f *testing.F) {
	f.Add(fixture(f, "courierpop3dsizelist"))
	f.Add("/2 5 9\na b:2,S 35 1:9\n")
	f.Add("/1 5\na:2, 35 1\n")
	f.Add("a' b 79\n")
	f.Fuzz(func(t *testing.T, text string) {
		if old, err := migrate.ReadSizeList("f", strings.NewReader(text)); err == nil {
			checkOld(t, old)
		}
	})
}

// checkOld makes rows of messages whose files are all there: each has one, or
// is listed.
func checkOld(t *testing.T, old []migrate.Old) {
	var local []migrate.Local
	for _, o := range old {
		local = append(local, migrate.Local{Base: o.Base})
	}
	migrate.SortLocal(local)
	r, err := migrate.ByName(old, local)
	if err != nil {
		return
	}
	if r.List.Len()+len(r.Ambiguous) != len(old) || len(r.Gone) > 0 || len(r.New) > len(r.Ambiguous) {
		t.Fatalf("%d rows and %q of %d messages; new %q", r.List.Len(), r.Ambiguous, len(old), r.New)
	}
	must(t, r.List.Format(io.Discard))
}

func FuzzReadCapture(f *testing.F) {
	f.Add("kpopd-capture 1\n2210 8c7dd922ad47494fc02c388e12c00eac 000004d24f3e5a01\nend 1 00000000\n")
	f.Fuzz(func(t *testing.T, text string) {
		old, err := migrate.ReadCapture("f", strings.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		must(t, migrate.WriteCapture(&b, old))
		if again, err := migrate.ReadCapture("f", &b); err != nil || !slices.Equal(again, old) {
			t.Fatalf("%v, %v", again, err)
		}
	})
}

func FuzzDigestHeader(f *testing.F) {
	f.Add("Message-ID: <1@x>\r\nDate: now\r\n\tor then\r\n\r\nbody\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		a, err := migrate.DigestHeader(strings.NewReader(text))
		must(t, err)
		b, err := migrate.DigestHeader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")))
		if err != nil || a != b && !strings.Contains(text, "\r") {
			t.Fatalf("%q with LF, %q with CRLF, %v", a, b, err)
		}
	})
}
