package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// Deliver adds msg, as it is or with CRLF line ends, to the Maildir of name, which is made where it is
// missing, with mode 0700; only the store's root must exist. The text is
// written and fsynced in tmp and moved to new, where it never replaces another
// file. It is there whole or not at all, whenever the process or the machine
// stops; on an error it is not there, unless only the last fsync failed.
func (s *Store) Deliver(ctx context.Context, name string, msg io.Reader) error {
	return s.Distribute(ctx, []maildrop.Delivery{{Name: name}}, msg)[0]
}

// A delivery is the Maildir of one recipient while a message is on its way
// there.
type delivery struct {
	store         *Store
	maildir       *durable.Dir
	tmp, new, cur *durable.Dir
}

// enter calls fn with the Maildir of name, which is made where it is missing.
func (s *Store) enter(name string, fn func(*delivery) error) error {
	path, err := s.path(name)
	if err != nil {
		return fmt.Errorf("deliver to %q: %w", name, err)
	}
	makeDir := func(d *durable.Dir, name string) (*durable.Dir, error) { return d.Make(name, 0o700) }
	root, err := durable.Open(s.Root)
	if err != nil {
		return fmt.Errorf("deliver to %q: %w", name, err)
	}
	err = walk(root, path, makeDir, func(maildir *durable.Dir) error {
		d := &delivery{store: s, maildir: maildir}
		defer d.close()
		if err := d.open(maildir); err != nil {
			return err
		}
		sweep(d.tmp, time.Now())
		return fn(d)
	})
	if err != nil {
		return fmt.Errorf("deliver to %q: %w", name, err)
	}
	return nil
}

func (d *delivery) open(maildir *durable.Dir) (err error) {
	if d.tmp, err = maildir.Make("tmp", 0o700); err != nil {
		return err
	}
	if d.new, err = maildir.Make("new", 0o700); err != nil {
		return err
	}
	d.cur, err = maildir.Make("cur", 0o700)
	return err
}

func (d *delivery) close() {
	for _, dir := range []*durable.Dir{d.tmp, d.new, d.cur} {
		if dir != nil {
			dir.Close()
		}
	}
}

// save writes a text as the store keeps it.
func (s *Store) save(w io.Writer, text io.Reader) error {
	if !s.SaveCRLF {
		_, err := io.Copy(w, text)
		return err
	}
	crlf := maildrop.CRLFWriter{W: w}
	if _, err := io.Copy(&crlf, text); err != nil {
		return err
	}
	return crlf.Close()
}

// nameAttempts is how many names are tried where another file has the name. Names
// do not repeat; only clocks and people make them.
const nameAttempts = 10

// create makes a file of a new name in tmp.
func (d *delivery) create() (*durable.File, string, error) {
	for try := 1; ; try++ {
		name, err := d.store.unique()
		if err != nil {
			return nil, "", err
		}
		file, err := d.tmp.OpenFile(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
		if err == nil || try == nameAttempts || !errors.Is(err, fs.ErrExist) {
			return file, name, err
		}
	}
}

// publish gives a message its place in new by move, under a name that tells its
// sizes, as stored and on the wire, and makes that durable.
func (d *delivery) publish(name string, m *maildrop.Meter, move func(name string) error) error {
	for try := 1; ; try++ {
		sized := fmt.Sprintf("%s,S=%d,W=%d", name, m.Octets(), m.Size())
		if d.store.SaveCRLF && m.WireReady() {
			sized += readyField
		}
		err := move(sized)
		if err == nil {
			addUsage(d.maildir, m.Octets(), 1)
			return d.new.Sync()
		}
		if try == nameAttempts || !errors.Is(err, fs.ErrExist) {
			return err
		}
		if name, err = d.store.unique(); err != nil {
			return err
		}
	}
}

// unique returns a name that no message has: the time, which never stands still
// or runs backwards for one Store, the process, a count, and the host. Names
// of one Store sort by delivery.
func (s *Store) unique() (string, error) {
	host := s.Hostname
	if host == "" {
		var err error
		if host, err = os.Hostname(); err != nil {
			return "", err
		}
	}
	now := s.tick(time.Now().UnixMicro())
	const million = 1_000_000
	return fmt.Sprintf("%d.M%06dP%dQ%d.%s",
		now/million, now%million, os.Getpid(), s.count.Add(1), hostPart(host)), nil
}

// tick returns now, or the microsecond after the last that it returned.
func (s *Store) tick(now int64) int64 {
	for {
		last := s.clock.Load()
		next := max(now, last+1)
		if s.clock.CompareAndSwap(last, next) {
			return next
		}
	}
}

// hostPart writes what may not stand in a Maildir name as \ooo, as its
// specification has it for '/' and ':', and bounds the length.
func hostPart(host string) string {
	const longest = 100
	var b strings.Builder
	for i := 0; i < len(host) && b.Len() < longest; i++ {
		c := host[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	return b.String()
}

// patient reads until ctx ends, and passes on no shortcut around that.
type patient struct {
	ctx context.Context
	r   io.Reader
}

func (p *patient) Read(b []byte) (int, error) {
	if err := context.Cause(p.ctx); err != nil {
		return 0, err
	}
	return p.r.Read(b)
}

// sweep removes what crashed deliveries left in tmp more than 36 hours ago, as
// the Maildir specification lets anybody. It looks at a few files at most, and
// nothing depends on it.
func sweep(tmp *durable.Dir, now time.Time) {
	const few, age = 64, 36 * time.Hour
	seen := 0
	var old []string
	_ = tmp.Each(func(name []byte, kind durable.Kind) {
		if seen++; seen > few {
			return
		}
		st, err := tmp.Lstat(string(name))
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && now.Sub(time.Unix(st.Mtim.Unix())) > age {
			old = append(old, string(name))
		}
	})
	for _, name := range old {
		_ = tmp.Remove(name)
	}
}
