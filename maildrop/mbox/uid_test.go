package mbox_test

import (
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/mbox"
)

// message is one as a delivery agent leaves it, with fields on top.
func message(n, fields string) string {
	return "From a@b Tue Nov 24 12:10:4" + n + " 2026\n" + fields + "Subject: " + n + "\n\ntext\n\n"
}

func TestUIDLHeader(t *testing.T) {
	f := newFixture(t)
	long := strings.Repeat("x", 70)
	f.put(message("1", "X-UIDL: one\n") + message("2", "x-uidl:  "+long+" \n") + message("3", "X-UIDL: "+long+"x\n") +
		message("4", "X-UIDL: a b\n") + message("5", "X-UIDL: one\n") + message("6", "X-UIDL:\n") + message("7", "X-UIDL: caf\xc3\xa9\n"))
	got := f.uids()
	f.want(got[:2], "one", long)
	for _, uid := range got[2:] {
		if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(uid) {
			t.Errorf("unique-id %q", uid)
		}
	}
	// The second "one" keeps what it was given when the first goes.
	f.remove(1)
	f.want(f.uids(), got[1:]...)
	// Another program drops all such fields: what was served stays.
	f.put(regexp.MustCompile(`(?mi)^x-uidl:.*\n`).ReplaceAllString(f.file(), "Status: RO\n"))
	f.want(f.uids(), got[1:]...)
	// One that was removed does not come again with another message.
	f.add(message("8", "X-UIDL: one\n"))
	if again := f.uids(); again[len(again)-1] == "one" {
		t.Error("a unique-id was given to another message")
	}
	f.store.UIDs = mbox.ByDigest
	if all := f.uids(); slices.Contains(all, long) {
		t.Errorf("by digest: %q", all)
	}
}

func TestUIDLOfUW(t *testing.T) {
	internal := "From MAILER-DAEMON Tue Nov 24 12:10:40 2026\nFrom: Mail System Internal Data <MAILER-DAEMON@host>\n" +
		"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1700000000 0000000003 $Label\nStatus: RO\n\nThis text is part of the internal format of your mail folder.\n\n"
	rest := message("1", "X-UID: 1\n") + message("2", "X-UID: 3\n") + message("3", "") + message("4", "X-UID: 3\n")
	f := newFixture(t)
	f.store.UIDs = mbox.ByUW
	f.put(internal + rest)
	got := f.uids()
	if len(got) != 4 {
		t.Fatalf("%d messages", len(got))
	}
	f.want(got[:2], "6553f10000000001", "6553f10000000003")
	f.remove(1, 2, 3, 4)
	if f.file() != internal {
		t.Errorf("left: %q", f.file())
	}
	f.put(message("1", "X-IMAPbase: 1700000000 3\nX-UID: 2\n") + message("2", "X-IMAPbase: 5 5\nX-UID: 9\n"))
	f.want(f.uids(), "6553f10000000002", "6553f10000000009")
	// Anybody may send such a subject, or such a field.
	for _, fields := range []string{"Subject: FOLDER INTERNAL DATA\n", "X-IMAP: 1700000000 3\n"} {
		f.put(message("1", fields))
		if got := f.uids(); len(got) != 1 {
			t.Errorf("%q hides a message", fields)
		}
	}
}

// A unique-id by digest does not depend on what mail programs change, on the
// dialect or on what stands around the message; it needs no index.
func TestDigestStays(t *testing.T) {
	f := newFixture(t)
	f.put(message("1", "") + message("2", "X: >From\n"))
	want := f.uids()
	for name, text := range map[string]string{
		"status":        message("1", "Status: RO\nX-Status: A\nX-Keywords: a\nX-UID: 4\nContent-Length: 5\nLines: 1\n") + message("2", "X: >From\nStatus: O\n"),
		"one before":    message("0", "") + message("1", "") + message("2", "X: >From\n"),
		"no blank line": strings.ReplaceAll(message("1", "")+message("2", "X: >From\n"), "text\n\n", "text\n"),
		"no end":        strings.TrimSuffix(message("1", "")+message("2", "X: >From\n"), "\n\n"),
	} {
		for _, format := range mbox.Formats {
			f.forget()
			f.store.Format = format
			f.put(text)
			if got := f.uids(); !slices.Equal(got[len(got)-2:], want) {
				t.Errorf("%s, %s: %q, want %q", name, format, got, want)
			}
		}
	}
	for what, text := range map[string]string{
		"the text": strings.Replace(message("1", ""), "text", "tExt", 1), "a field": message("1", "X-Other: y\n"),
		"the time": strings.Replace(message("1", ""), "12:10", "12:11", 1),
	} {
		if f.put(text); f.uids()[0] == want[0] {
			t.Errorf("%s makes no difference", what)
		}
	}
}

// Equal messages have unique-ids of their own, which stay when an earlier one
// goes, whoever removes it.
func TestTwins(t *testing.T) {
	f := newFixture(t)
	twin := message("1", "")
	f.put(twin + message("2", "") + twin + twin)
	got := f.uids()
	if sorted := slices.Sorted(slices.Values(got)); len(slices.Compact(sorted)) != 4 {
		t.Fatalf("unique-ids %q", got)
	}
	f.remove(1)
	f.want(f.uids(), got[1:]...)
	f.add(twin)
	again := f.uids()
	f.want(again[:3], got[1:]...)
	if slices.Contains(got, again[3]) {
		t.Errorf("%q was given out again", again[3])
	}
	f.remove(3, 2)
	f.want(f.uids(), got[1], again[3])
	for _, format := range mbox.Formats { // the dialect was the wrong one
		f.store.Format = format
		f.want(f.uids(), got[1], again[3])
	}
	// Without an index the file tells as many unique-ids, by count.
	f.forget()
	f.want(f.uids(), got[1], got[0])
}

// An index that is damaged, or of another configuration, is as good as none.
func TestIndexIsNoTruth(t *testing.T) {
	f := newFixture(t)
	f.put(message("1", "") + message("2", "X-UIDL: two\n"))
	want := f.uids()
	name := f.index()
	good, err := os.ReadFile(name)
	f.must(err)
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x10
		f.must(os.WriteFile(name, bad, 0o600))
		f.want(f.uids(), want...)
		f.must(os.WriteFile(name, good[:i], 0o600))
		f.want(f.uids(), want...)
	}
	f.must(os.Remove(name))
	f.must(os.Mkdir(name, 0o700)) // cannot be replaced
	f.want(f.uids(), want...)
	f.texts()
}

// A mailbox that did not change is not read again, and one that grew only from
// its last message on, but for the lines with which the others begin.
func TestUnchangedIsNotRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.put(big(1) + big(2))
	f.uids()
	read := func() (n int) {
		for _, c := range f.run("repair", 0).Calls {
			if (c.Name == "pread64" || c.Name == "read") && strings.HasSuffix(c.Paths[0], "/mail/alice") {
				n++
			}
		}
		return n
	}
	if n := read(); n != 0 {
		t.Errorf("%d reads of a file that is known", n)
	}
	f.put(message("1", "") + strings.Repeat("0123456789abcde\n", 800<<10/16) + "\n" + big(2))
	if n := read(); n < 10 {
		t.Errorf("%d reads of a file that is not known", n)
	}
	f.add(big(3))
	if n := read(); n > 5 {
		t.Errorf("%d reads of a file that grew by one message", n)
	}
}

// Messages that vanish, or change, between login and RETR or QUIT.
func TestChangedByOthers(t *testing.T) {
	f := newFixture(t)
	f.put(big(1) + big(2) + big(3) + big(4))
	d := f.open()
	f.must(d.Delete(1))
	f.must(d.Delete(3))
	f.put(big(4) + strings.Replace(big(2), "Subject: 2\n", "Subject: 2\nStatus: RO\n", 1) + big(1) + big(5)) // sorted, as it were
	for n, want := range map[int]string{2: textOf(big(2)), 4: textOf(big(4))} {
		if got := f.text(d, n); got != want {
			t.Errorf("message %d is %.30q", n, got)
		}
	}
	f.must(d.Update(t.Context()))
	f.must(d.Close())
	f.want(f.texts(), textOf(big(4)), textOf(big(2)), textOf(big(5)))
	for what, change := range map[string]func() error{
		"emptied": func() error { return os.Truncate(f.path, 0) },
		"removed": func() error { return os.Remove(f.path) },
		"another": func() error { return os.WriteFile(f.path, []byte(big(6)), 0o600) },
		"a link":  func() error { return errors.Join(os.Remove(f.path), os.Symlink("/etc/passwd", f.path)) },
		"a dir":   func() error { return errors.Join(os.Remove(f.path), os.Mkdir(f.path, 0o700)) },
	} {
		f.must(os.RemoveAll(f.path))
		f.put(big(1))
		d := f.open()
		f.must(change())
		if text, err := read(d, 1); !errors.Is(err, maildrop.ErrVanished) {
			t.Errorf("%s: %.20q, %v", what, text, err)
		}
		f.must(d.Close())
	}
}

// A large message that is rewritten while it is sent ends in an error; one that
// only gets a neighbour does not.
func TestChangedWhileSent(t *testing.T) {
	f := newFixture(t)
	huge := "From a@b Tue Nov 24 12:10:49 2026\nX: y\n\n" + strings.Repeat("0123456789abcde\n", 1<<20/16) + "\n"
	for what, tt := range map[string]struct {
		change func()
		ok     bool
	}{
		"grown":     {func() { f.add(big(2)) }, true},
		"replaced":  {func() { f.must(os.Rename(f.path, f.path+".old")); f.put(big(3)) }, true},
		"shifted":   {func() { f.put(message("1", "") + huge + big(1)) }, false},
		"truncated": {func() { f.must(os.Truncate(f.path, 500<<10)) }, false},
	} {
		f.put(huge + big(1))
		d := f.open()
		c, err := d.Retrieve(t.Context(), 1)
		f.must(err)
		buf := make([]byte, 100<<10)
		n, err := c.Read(buf)
		f.must(err)
		tt.change()
		rest, err := io.ReadAll(c)
		if tt.ok && (err != nil || n+len(rest) != len(textOf(huge))) {
			t.Errorf("%s: %d octets, %v", what, n+len(rest), err)
		}
		if !tt.ok && !errors.Is(err, maildrop.ErrVanished) {
			t.Errorf("%s: %v, want ErrVanished", what, err)
		}
		f.must(c.Close())
		f.must(d.Close())
	}
}

// A file that is not the one of the index, however alike it is from where the
// last message began, is read anew.
func TestReplacedAndGrown(t *testing.T) {
	f := newFixture(t)
	f.put(message("1", "") + message("2", ""))
	was := f.uids()
	f.put(message("3", "") + message("4", "") + message("5", ""))
	if now := f.uids(); len(now) != 3 || now[0] == was[0] || now[1] == was[1] {
		t.Errorf("unique-ids %q, before %q", now, was)
	}
	f.want(f.texts(), "Subject: 3\n\ntext\n", "Subject: 4\n\ntext\n", "Subject: 5\n\ntext\n")
}

// Messages that change places keep their unique-ids, though they are of one length
// and others come.
func TestSwappedAndGrown(t *testing.T) {
	f := newFixture(t)
	f.put(message("1", "") + message("2", "") + message("3", ""))
	was := f.uids()
	f.put(message("2", "") + message("1", "") + message("3", "") + message("4", ""))
	now := f.uids()
	f.want(now[:3], was[1], was[0], was[2])
}

// Dovecot makes room in the header of one message by the padding of a later one:
// what is between moves, and the last message stays.
func TestMovedAndGrown(t *testing.T) {
	f := newFixture(t)
	msg := func(n, pad string) string {
		return "From a@b Tue Nov 24 12:10:4" + n + " 2026\nSubject: " + n + "\nX-Keywords: " + pad + "\n\nbody " + n + "\n\n"
	}
	pad := strings.Repeat(" ", 40)
	f.put(msg("1", pad) + msg("2", pad) + msg("3", pad))
	before := f.uids()
	f.put(msg("1", pad+strings.Repeat("k", 20)) + msg("2", pad[20:]) + msg("3", pad) + msg("4", ""))
	after := f.uids()
	if len(after) != 4 || strings.Join(after[:3], " ") != strings.Join(before, " ") {
		t.Errorf("unique-ids %v, then %v", before, after)
	}
	d := f.open()
	for n, want := range []string{"1", "2", "3", "4"} {
		c, err := d.Retrieve(t.Context(), n+1)
		if err != nil {
			t.Error(n+1, err)
			continue
		}
		text, err := io.ReadAll(c)
		c.Close()
		if !strings.HasPrefix(string(text), "Subject: "+want+"\n") || err != nil {
			t.Errorf("message %d is %q, %v", n+1, text, err)
		}
	}
	f.must(d.Delete(2))
	if err := d.Update(t.Context()); err != nil {
		t.Error(err)
	}
	if want := msg("1", pad+strings.Repeat("k", 20)) + msg("3", pad) + msg("4", ""); f.file() != want {
		t.Errorf("file is %q", f.file())
	}
}

// A program that writes without a lock makes us stop, not remove another
// message.
func TestChangedWithoutLock(t *testing.T) {
	f := newFixture(t)
	f.put(message("1", "") + message("2", "") + message("3", ""))
	uids := f.uids()
	changed := message("0", "") + "X" + message("1", "") + message("2", "") + message("3", "")
	err := mbox.RemoveAfter(t.Context(), f.store, "alice", uids[1], func() { f.put(changed) })
	if err == nil || !strings.Contains(err.Error(), "without a lock") || f.file() != changed {
		t.Errorf("%v; the file holds %q", err, f.file())
	}
}

// What was changed in the last seconds may change again and look the same, where
// the file system counts seconds.
func TestSettled(t *testing.T) {
	second := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		changed, now time.Time
		want         bool
	}{
		{second.Add(time.Nanosecond), second.Add(30 * time.Millisecond), true},
		{second.Add(time.Nanosecond), second.Add(10 * time.Millisecond), false},
		{second, second.Add(1900 * time.Millisecond), false},
		{second, second.Add(3100 * time.Millisecond), true},
		{second, second.Add(-time.Hour), false},
	} {
		if got := mbox.Settled(c.changed, c.now); got != c.want {
			t.Errorf("changed %v, now %v: %v", c.changed, c.now, got)
		}
	}
}
