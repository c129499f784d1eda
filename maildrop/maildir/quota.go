package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// usageName is the file of a Maildir that says what the Maildir and its folders
// hold, as Maildir++ has it: the quota in the first line, then a line "octets
// messages" for each change, whose sums are what there is. Courier, Exim and
// Dovecot read and write it too. Nobody locks it: whoever adds a line writes it
// at once, at the end, and whoever counts anew puts another file in its place.
//
// What it says may be wrong for a while, after a crash or when somebody else
// removes messages. It is counted anew when it would keep a message out and is
// not just counted, when it is long, and when it does not say what it should.
// It needs no fsync: what a crash leaves of it does not parse, or is a little old.
const usageName = "maildirsize"

const (
	usageMax = 5120             // its longest size, by the specification
	usageAge = 15 * time.Minute // how long a count may keep messages out, likewise
)

// A usage is what a Maildir holds.
type usage struct {
	octets, messages int64
	lines            int // that say so
	time             time.Time
}

// counted reports whether the usage was counted message by message, just now.
func (u usage) counted(now time.Time) bool {
	age := now.Sub(u.time)
	return u.lines == 1 && age >= 0 && age < usageAge
}

// check returns why a message does not fit; nil: it does.
func (u usage) check(q maildrop.Quota, size int64) error {
	switch {
	case q.Octets > 0 && size > q.Octets:
		return fmt.Errorf("%w: %d octets, of %d", maildrop.ErrTooLarge, size, q.Octets)
	case q.Octets > 0 && u.octets > q.Octets-size:
		return fmt.Errorf("%w: %d octets of %d are used, this are %d", maildrop.ErrQuota, u.octets, q.Octets, size)
	case q.Messages > 0 && u.messages >= q.Messages:
		return fmt.Errorf("%w: %d messages of %d", maildrop.ErrQuota, u.messages, q.Messages)
	}
	return nil
}

// fits returns nil if the Maildir has room for a message. It looks at one small
// file, or where that does not do at all folders.
func (d *delivery) fits(q maildrop.Quota, size int64) error {
	if q == (maildrop.Quota{}) {
		return nil
	}
	u, ok := readUsage(d.maildir, quotaText(q))
	err := u.check(q, size)
	if ok && (err == nil || u.counted(time.Now()) || errors.Is(err, maildrop.ErrTooLarge)) {
		return err
	}
	u, err = countUsage(d.maildir)
	if err != nil {
		return fmt.Errorf("count what is there: %w", err)
	}
	d.replaceUsage(q, u)
	return u.check(q, size)
}

// quotaText is the first line of the file.
func quotaText(q maildrop.Quota) string {
	var parts []string
	if q.Octets > 0 {
		parts = append(parts, strconv.FormatInt(q.Octets, 10)+"S")
	}
	if q.Messages > 0 {
		parts = append(parts, strconv.FormatInt(q.Messages, 10)+"C")
	}
	return strings.Join(parts, ",")
}

// readUsage reads the file; ok is false where it does not say what there is.
func readUsage(maildir *durable.Dir, quota string) (u usage, ok bool) {
	f, err := maildir.OpenFile(usageName, unix.O_RDONLY, 0)
	if err != nil {
		return u, false
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size >= usageMax {
		return u, false
	}
	buf := make([]byte, usageMax)
	n, err := f.ReadAt(buf, 0)
	if err != nil || n == usageMax {
		return u, false
	}
	if u, ok = parseUsage(buf[:n], quota); ok {
		u.time = time.Unix(st.Mtim.Unix())
	}
	return u, ok
}

// parseUsage parses the file's text.
func parseUsage(text []byte, quota string) (u usage, ok bool) {
	first, rest, ok := bytes.Cut(text, []byte("\n"))
	if !ok || string(first) != quota {
		return u, false
	}
	for line := range strings.Lines(string(rest)) {
		words := strings.Fields(line)
		if len(words) != 2 || !strings.HasSuffix(line, "\n") {
			return u, false
		}
		octets, err1 := strconv.ParseInt(words[0], 10, 56)
		messages, err2 := strconv.ParseInt(words[1], 10, 56)
		if err1 != nil || err2 != nil {
			return u, false
		}
		u.octets, u.messages, u.lines = u.octets+octets, u.messages+messages, u.lines+1
	}
	return u, u.lines > 0 && u.octets >= 0 && u.messages >= 0
}

// countUsage counts all messages of a Maildir and its folders.
func countUsage(maildir *durable.Dir) (usage, error) {
	u := usage{lines: 1, time: time.Now()}
	if err := u.addFolder(maildir); err != nil {
		return u, err
	}
	var names []string
	if err := maildir.EachHidden(func(name []byte, _ durable.Kind) { names = append(names, string(name)) }); err != nil {
		return u, err
	}
	for _, name := range names {
		folder, err := maildir.Open(name)
		if err != nil {
			continue // a file, a link, or another's: no folder of ours
		}
		err = u.addFolder(folder)
		folder.Close()
		if err != nil {
			return u, err
		}
	}
	return u, nil
}

// addFolder counts what is in new and cur of a folder.
func (u *usage) addFolder(folder *durable.Dir) error {
	for _, name := range folderNames {
		dir, err := folder.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = u.addMessages(dir)
			dir.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addMessages counts the messages of a directory. A size that the name tells
// is believed, as Maildir++ has it; other files are looked at.
func (u *usage) addMessages(dir *durable.Dir) error {
	var unsized []string
	err := dir.Each(func(name []byte, kind durable.Kind) {
		size, ok := octetsOf(string(name))
		if !ok || kind != durable.Regular {
			unsized = append(unsized, string(name))
			return
		}
		u.octets, u.messages = u.octets+size, u.messages+1
	})
	for _, name := range unsized {
		st, err := dir.Lstat(name)
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
			u.octets, u.messages = u.octets+st.Size, u.messages+1
		}
	}
	return err
}

// octetsOf is what ,S= in a file's name says.
func octetsOf(name string) (int64, bool) {
	_, rest, ok := strings.Cut(baseOf(name), ",S=")
	digits, _, _ := strings.Cut(rest, ",")
	n, err := strconv.ParseInt(digits, 10, 56)
	return n, ok && err == nil && n >= 0
}

// replaceUsage puts a file with a fresh count in place. Without it, the next
// delivery counts again.
func (d *delivery) replaceUsage(q maildrop.Quota, u usage) {
	file, name, err := d.create()
	if err != nil {
		return
	}
	_, err = fmt.Fprintf(file, "%s\n%d %d\n", quotaText(q), u.octets, u.messages)
	file.Close()
	if err == nil {
		err = d.tmp.ReplaceIn(name, d.maildir, usageName)
	}
	if err != nil {
		_ = d.tmp.Remove(name)
	}
}

// addUsage notes a change where there is the file. One that cannot be noted
// makes it wrong, so that it goes.
func addUsage(maildir *durable.Dir, octets, messages int64) {
	f, err := maildir.OpenFile(usageName, unix.O_WRONLY|unix.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		defer f.Close()
		if _, err = f.Size(); err == nil {
			_, err = fmt.Fprintf(f, "%d %d\n", octets, messages)
		}
	}
	if err != nil {
		dropUsage(maildir)
	}
}

// dropUsage has the next delivery count anew.
func dropUsage(maildir *durable.Dir) { _ = maildir.Remove(usageName) }
