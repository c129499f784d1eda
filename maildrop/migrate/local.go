package migrate

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// A Maildir is an open Maildir whose messages are looked at, not moved.
type Maildir struct {
	// Dir is the Maildir itself.
	Dir     *durable.Dir
	folders [2]*durable.Dir
	files   []file
}

// A file is a message's, in one of the folders.
type file struct {
	folder int
	name   string
}

// OpenMaildir reads which messages a Maildir has. Close closes it, and not
// dir.
func OpenMaildir(dir *durable.Dir) (*Maildir, error) {
	m := &Maildir{Dir: dir}
	at := map[string]int{}
	for i, name := range []string{"new", "cur"} {
		folder, err := dir.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			m.folders[i] = folder
			err = m.scan(i, at)
		}
		if err != nil {
			m.Close()
			return nil, err
		}
	}
	return m, nil
}

// scan notes the messages of a folder. Files with one base name are one
// message.
func (m *Maildir) scan(folder int, at map[string]int) error {
	return m.folders[folder].Each(func(name []byte, kind durable.Kind) {
		f := file{folder, string(name)}
		base := baseOf(f.name)
		if base == "" || kind != durable.Regular && !m.regular(f) {
			return
		}
		if i, twice := at[base]; twice {
			m.files[i] = f
			return
		}
		at[base] = len(m.files)
		m.files = append(m.files, f)
	})
}

func (m *Maildir) regular(f file) bool {
	st, err := m.folders[f.folder].Lstat(f.name)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}

// Messages returns the messages in the order of kpopd's numbers, without sizes
// and headers.
func (m *Maildir) Messages() []Local {
	all := make([]Local, len(m.files))
	for i, f := range m.files {
		all[i].Base = baseOf(f.name)
	}
	SortLocal(all)
	return all
}

// Look returns the messages with the digests of their headers, and with their
// sizes: those that the names tell, and for the others they are read.
func (m *Maildir) Look(ctx context.Context) ([]Local, error) {
	all := m.Messages()
	at := make(map[string]file, len(m.files))
	for _, f := range m.files {
		at[baseOf(f.name)] = f
	}
	for i := range all {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if err := m.look(at[all[i].Base], &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (m *Maildir) look(f file, l *Local) error {
	open := func(fn func(io.Reader) error) error {
		file, err := m.folders[f.folder].OpenFile(f.name, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err := file.Size(); err != nil {
			return err
		}
		return fn(file)
	}
	err := open(func(r io.Reader) (err error) {
		l.Header, err = DigestHeader(r)
		return err
	})
	if l.Size = sizeIn(l.Base); err != nil || l.Size > 0 {
		return err
	}
	return open(func(r io.Reader) (err error) {
		l.Size, _, err = maildrop.Measure(r)
		return err
	})
}

// DigestNames returns what tpop3d showed of a Maildir: each unique-id is the MD5
// of a base name.
func DigestNames(local []Local) []Old {
	old := make([]Old, len(local))
	for i, l := range local {
		sum := md5.Sum([]byte(l.Base))
		old[i] = Old{UID: hex.EncodeToString(sum[:]), Base: l.Base}
	}
	return old
}

// WithFlag returns which messages have a flag in their files' names, by base
// name.
func (m *Maildir) WithFlag(letter byte) map[string]bool {
	flagged := map[string]bool{}
	for _, f := range m.files {
		if HasFlag(f.name, letter) {
			flagged[baseOf(f.name)] = true
		}
	}
	return flagged
}

// Close closes the folders.
func (m *Maildir) Close() error {
	var errs []error
	for _, d := range m.folders {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	return errors.Join(errs...)
}
