package mbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kpopd/maildrop/mbox"
	"kpopd/maildrop/memory"
	"kpopd/maildrop/storetest"
)

// importInto gives alice's messages unique-ids.
func importInto(ctx context.Context, s *mbox.Store, uids []string) error {
	l, err := new(memory.Locker).Lock(ctx, "alice")
	if err != nil {
		return err
	}
	defer l.Release()
	return s.Import(ctx, l, func([]mbox.Candidate, func(int) io.ReadCloser) ([]string, error) { return uids, nil })
}

// imported are n unique-ids of another server.
func imported(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("UID%d-1700000000", i+1))
	}
	return all
}

// importOf is importInto for a test, which checks that messages stay as they are.
func (f *fixture) importOf(uids ...string) {
	f.Helper()
	before := f.texts()
	f.must(importInto(f.Context(), f.store, uids))
	f.want(f.texts(), before...)
	f.age()
	f.want(f.texts(), before...)
}

// What is imported counts, whatever was served or written there before, and
// needs no index afterwards. Sizes and texts stay.
func TestImport(t *testing.T) {
	for _, format := range mbox.Formats {
		f := newFixture(t)
		f.store.Format = format
		f.put(message("1", "X-UIDL: UID2-1700000000\n  folded\nX-Y: z\nx-uidl: older\n") + strings.ReplaceAll(message("2", ""), "\n", "\r\n") + message("3", "X-UIDL: keep\n") +
			"From a@b Tue Nov 24 12:10:44 2026\n\nno header\n\n" + message("5", "X-UIDL: UID2-1700000000\n") + message("6", "Subject: X-UIDL\n") + message("6", "Subject: X-UIDL\n"))
		for _, when := range []string{"served", "not served"} {
			if when == "not served" {
				f.forget()
			}
			before := f.uids()
			want := append(imported(2), before[2], "four", before[4], "six", "seven")
			f.importOf("UID1-1700000000", "UID2-1700000000", "", "four", "", "six", "seven")
			f.want(f.uids(), want...)
			f.forget()
			f.want(f.uids(), want...)
		}
		if n := strings.Count(f.file(), "UID2-1700000000"); n != 1 {
			t.Errorf("%s: written %d times:\n%s", format, n, f.file())
		}
		if text := f.file(); !strings.Contains(text, "2026\nX-UIDL: UID1-1700000000\nX-Y: z\nSubject: 1\n") || !strings.Contains(text, "2026\r\nX-UIDL: UID2-1700000000\r\nSubject: 2\r\n") {
			t.Errorf("the file is %s", text)
		}
		// Again: nothing is to be written.
		before := f.file()
		f.importOf("UID1-1700000000", "UID2-1700000000", "", "four", "", "six", "seven")
		if f.file() != before {
			t.Errorf("rewritten: %s", f.file())
		}
		f.remove(1, 4)
		f.deliver("Subject: new\n\ntext\n")
		got := f.uids()
		f.want(got[:1], "UID2-1700000000")
		f.want(got[3:5], "six", "seven")
	}
}

// What was removed over POP3 may come back by an import, and by nothing else.
func TestImportOfRemoved(t *testing.T) {
	f := newFixture(t)
	f.put(message("1", "") + message("2", ""))
	f.importOf("one", "two")
	f.remove(1)
	f.put(message("1", "") + message("2", ""))
	f.importOf("one", "")
	f.want(f.uids(), "one", "two")
}

func TestImportRefused(t *testing.T) {
	long := strings.Repeat("x", 71)
	for what, c := range map[string]struct {
		alter func(*fixture)
		uids  []string
	}{
		"two messages, one unique-id":    {func(*fixture) {}, []string{"a", "a", ""}},
		"that of another message":        {func(*fixture) {}, []string{"mine", "", ""}},
		"none":                           {func(*fixture) {}, []string{"a b", "", ""}},
		"too long":                       {func(*fixture) {}, []string{long, "", ""}},
		"too few":                        {func(*fixture) {}, []string{"a", "b"}},
		"no room on top":                 {func(*fixture) {}, []string{"", "", "c"}},
		"not where another field counts": {func(f *fixture) { f.store.UIDs = mbox.ByUW }, []string{"a", "", ""}},
		"not where none counts":          {func(f *fixture) { f.store.UIDs = mbox.ByDigest }, []string{"a", "", ""}},
		"in place":                       {func(f *fixture) { f.store.Rewrite = mbox.InPlace }, []string{"a", "", ""}},
		"no lock file":                   {func(f *fixture) { f.store.Locks = []mbox.Lock{mbox.Fcntl} }, []string{"a", "", ""}},
	} {
		f := newFixture(t)
		f.put(message("1", "") + message("2", "X-UIDL: mine\n") + "From a@b Tue Nov 24 12:10:44 2026\n folded\nSubject: 3\n\ntext\n\n")
		c.alter(f)
		before, uids := f.file(), f.uids()
		if err := importInto(t.Context(), f.store, c.uids); !errors.Is(err, mbox.ErrImport) {
			t.Errorf("%s: %v", what, err)
		}
		f.want(f.uids(), uids...)
		if f.file() != before {
			t.Errorf("%s: the file is %q", what, f.file())
		}
		list, err := os.ReadDir(filepath.Join(f.base, "mail"))
		if err != nil || len(list) != 1 {
			t.Errorf("%s: left are %v, %v", what, list, err)
		}
	}
}

// A program that writes without a lock makes us stop, and loses nothing.
func TestImportWithoutLock(t *testing.T) {
	f := newFixture(t)
	f.put(message("1", "") + message("2", ""))
	uids := f.uids()
	l, err := f.locker.Lock(t.Context(), "alice")
	f.must(err)
	err = f.store.Import(t.Context(), l, func([]mbox.Candidate, func(int) io.ReadCloser) ([]string, error) {
		f.must(os.WriteFile(f.path, []byte(f.file()+message("3", "")), 0o600))
		return []string{"one", "two"}, nil
	})
	f.must(l.Release())
	if !errors.Is(err, mbox.ErrImport) || !strings.Contains(err.Error(), "another program changes it without a lock") {
		t.Error(err)
	}
	if got := f.uids(); len(got) != 3 || !slices.Equal(got[:2], uids) {
		t.Errorf("unique-ids %q", got)
	}
}

// Who chooses is shown what clients are, and may choose nothing.
func TestImportCandidates(t *testing.T) {
	f := newFixture(t)
	l, err := f.locker.Lock(t.Context(), "alice")
	f.must(err)
	defer l.Release()
	var all []mbox.Candidate
	var texts []string
	look := func(got []mbox.Candidate, open func(int) io.ReadCloser) ([]string, error) {
		all, texts = got, nil
		for i := range got {
			r := open(i)
			text, err := io.ReadAll(r)
			f.must(errors.Join(err, r.Close()))
			texts = append(texts, string(text))
		}
		return nil, nil
	}
	if f.must(f.store.Import(t.Context(), l, look)); len(all) != 0 {
		t.Errorf("there is no mailbox, and there are %v", all)
	}
	f.put(message("1", "X-UIDL: one\nStatus: RO\n") + "From a@b Tue Nov 24 12:10:44 2026\n folded\n\n>From me\n\n")
	before := f.file()
	f.must(f.store.Import(t.Context(), l, look))
	f.want(texts, "Subject: 1\n\ntext\n", " folded\n\nFrom me\n")
	if len(all) != 2 || all[0].UID != "one" || all[0].Size != 20 || all[0].Served || all[0].Fixed || !all[1].Fixed {
		t.Errorf("%+v", all)
	}
	if _, err := os.Stat(filepath.Join(f.base, "state", "mbox")); err == nil {
		if list, _ := filepath.Glob(filepath.Join(f.base, "state", "mbox", "*")); len(list) > 0 {
			t.Errorf("written: %v", list)
		}
	}
	f.must(l.Release())
	f.uids()
	l, err = f.locker.Lock(t.Context(), "alice")
	f.must(err)
	f.must(f.store.Import(t.Context(), l, look))
	if !all[0].Served || !all[1].Served || f.file() != before {
		t.Errorf("%+v", all)
	}
}

// A crash at any system call leaves all messages with their unique-ids as before
// or all with the imported ones, which they have once it is acknowledged; and
// who does it again ends it.
func TestCrashInImport(t *testing.T) {
	for _, served := range []bool{true, false} {
		t.Run(fmt.Sprintf("served=%t", served), func(t *testing.T) {
			t.Parallel()
			var before []string
			texts := []string{textOf(big(1)), textOf(big(2)), textOf(big(3)), textOf(big(4)), textOf(big(1))}
			everyCall(t, "import", func(f *fixture) {
				f.put(five)
				before = f.uids()
				if !served {
					f.forget()
				}
			}, func(f *fixture, trace *storetest.Trace) {
				got := f.uids()
				if trace.Output == done || !slices.Equal(got, before) {
					f.want(got, imported(5)...)
				}
				f.want(f.texts(), texts...)
				f.importOf(imported(5)...)
				f.forget()
				f.want(f.uids(), imported(5)...)
				f.want(f.texts(), texts...)
				f.want(f.state())
				if list, err := filepath.Glob(filepath.Join(f.base, "mail", "*")); err != nil || len(list) != 1 {
					f.Errorf("left are %v, %v", list, err)
				}
			})
		})
	}
}

// Whatever a mailbox holds, its messages are what they were.
func FuzzImport(f *testing.F) {
	f.Add([]byte(message("1", "X-UIDL: a\n b\n")+message("2", "")), uint8(0))
	f.Add([]byte("From a@b Tue Nov 24 12:10:44 2026\n>From x\nX-UIDL: a\n>X-UIDL: b\n\n"), uint8(2))
	f.Add([]byte("From a@b Tue Nov 24 12:10:44 2026"), uint8(1))
	f.Add([]byte("From a@b Tue Nov 24 12:10:44 2026\r\n\r\n\r\nFrom a@b Tue Nov 24 12:10:44 2026\n"), uint8(3))
	f.Add([]byte("\n"+message("1", "X-IMAP: 1 1\nSubject: FOLDER INTERNAL DATA\n")+message("2", "Content-Length: 30\n")), uint8(3))
	f.Fuzz(func(t *testing.T, text []byte, n uint8) {
		base := newBase(t, storetest.TempDir(t))
		x := &fixture{T: t, store: newStore(base, mbox.Formats[int(n)%len(mbox.Formats)]), base: base, path: filepath.Join(base, "mail", "alice")}
		x.put(string(text))
		if err := x.openErr(); err != nil {
			return
		}
		before, uids := x.texts(), x.uids()
		l, err := x.locker.Lock(t.Context(), "alice")
		x.must(err)
		x.must(x.store.Import(t.Context(), l, func(all []mbox.Candidate, _ func(int) io.ReadCloser) ([]string, error) {
			given := make([]string, len(all))
			for i, c := range all {
				if !c.Fixed {
					given[i] = fmt.Sprintf("fuzz-%d", i)
					uids[i] = given[i]
				}
			}
			return given, nil
		}))
		x.must(l.Release())
		x.want(x.texts(), before...)
		x.want(x.uids(), uids...)
	})
}
