package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// A box is a frozen view of one Maildir. It keeps both folders open.
type box struct {
	dirs
	listing
	msgs  []maildrop.Message // of the same indexes as entries
	lease maildrop.Lease
	store *Store
}

// Messages returns the listing.
func (b *box) Messages() []maildrop.Message { return b.msgs }

// Close closes the folders.
func (b *box) Close() error { return b.dirs.close() }

// load makes the listing. A message that vanishes meanwhile, or turns out to
// be no regular file, is left out of it; one that cannot be read is an error,
// lest its unique-id come and go.
func (b *box) load(ctx context.Context) error {
	var err error
	if b.listing, err = b.dirs.list(); err != nil {
		return err
	}
	found := b.entries
	b.entries = found[:0]
	b.msgs = make([]maildrop.Message, 0, len(found))
	for _, e := range found {
		m := maildrop.Message{UID: uidOf(e.Base())}
		if err := b.size(ctx, &e, &m); errors.Is(err, maildrop.ErrVanished) {
			continue
		} else if err != nil {
			return err
		}
		b.entries, b.msgs = append(b.entries, e), append(b.msgs, m)
	}
	return nil
}

// size sets the size of m, from memory, from its name or from its text.
func (b *box) size(ctx context.Context, e *entry, m *maildrop.Message) (err error) {
	sizes := b.store.Sizes
	if sizes != nil {
		var ok bool
		if m.Size, e.wireReady, ok = sizes.Size(b.lease.Name(), m.UID); ok {
			return nil
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	named, ok := sizeOf(e.Base())
	if ok {
		if ok, err = b.credible(e, named); err != nil {
			return err
		}
	}
	m.Size, e.wireReady = named, ok && readyOf(e.Base())
	if !ok {
		if err := b.measure(e, m); err != nil {
			return err
		}
	}
	if sizes != nil {
		sizes.Learn(b.lease.Name(), m.UID, m.Size, e.wireReady)
	}
	return nil
}

// credible reports whether a file can have the wire size that its name tells.
// Its last octet is looked at, because programs that name files differ on a
// text without a final line end, and we send one. A file that just moved away
// is believed: to look for each would make a login slow while another program
// moves all of them.
func (b *box) credible(e *entry, named int64) (bool, error) {
	file, err := b.dirs[e.in].OpenFile(e.name, unix.O_RDONLY, 0)
	if gone(err) {
		return true, nil
	}
	if err != nil {
		return false, vanished(err)
	}
	defer file.Close()
	octets, err := file.Size()
	if err != nil {
		return false, vanished(err)
	}
	if octets == 0 || named < octets || named > 2*octets {
		return octets == 0 && named == 0, nil
	}
	var last [1]byte
	n, err := file.ReadAt(last[:], octets-1)
	return n == 1 && last[0] == '\n', err
}

// measure reads the text of e.
func (b *box) measure(e *entry, m *maildrop.Message) error {
	file, octets, err := b.file(e)
	if err != nil {
		return err
	}
	defer file.Close()
	m.Size, e.wireReady, err = maildrop.Measure(&text{file, octets})
	return err
}

// Retrieve opens the message at index i, wherever its file has gone since.
func (b *box) Retrieve(ctx context.Context, i int) (maildrop.Content, error) {
	e := &b.entries[i]
	file, octets, err := b.file(e)
	if err != nil {
		return maildrop.Content{}, fmt.Errorf("retrieve from %q: %w", b.lease.Name(), err)
	}
	return maildrop.Content{ReadCloser: &text{file, octets}, WireReady: e.wireReady}, nil
}

// Remeasure implements [maildrop.Remeasurer]: what a name says of a size, it
// then says in vain.
func (b *box) Remeasure(ctx context.Context, i int) error {
	e, m := b.entries[i], b.msgs[i]
	if b.store.Sizes == nil {
		return nil
	}
	if err := b.measure(&e, &m); err != nil {
		return fmt.Errorf("remeasure in %q: %w", b.lease.Name(), err)
	}
	b.store.Sizes.Learn(b.lease.Name(), m.UID, m.Size, e.wireReady)
	return nil
}

// file opens the file of e, a regular one, and returns its size.
func (b *box) file(e *entry) (*durable.File, int64, error) {
	file, err := b.locate(e)
	if err != nil {
		return nil, 0, err
	}
	octets, err := file.Size()
	if err != nil {
		file.Close()
		return nil, 0, vanished(err)
	}
	return file, octets, nil
}

// locate opens the file of e where it was last; where it is not there, where a
// scan finds its base name. A file may move again during the scan.
func (b *box) locate(e *entry) (*durable.File, error) {
	const attempts = 3
	for range attempts {
		file, err := b.dirs[e.in].OpenFile(e.name, unix.O_RDONLY, 0)
		if !gone(err) {
			return file, vanished(err)
		}
		base := e.Base()
		found, err := b.find(map[string]bool{base: true})
		if err != nil {
			return nil, err
		}
		at := found[base]
		if len(at) == 0 {
			break
		}
		e.in, e.name = at[len(at)-1].in, at[len(at)-1].name
	}
	return nil, fmt.Errorf("%w: %s", maildrop.ErrVanished, e.Base())
}

// find returns all places of the messages with these base names, in folders
// too that are new since the maildrop was opened.
func (b *box) find(bases map[string]bool) (map[string][]place, error) {
	if b.dirs[inNew] == nil || b.dirs[inCur] == nil {
		err := b.store.walk(b.lease.Name(), (*durable.Dir).Open, b.dirs.open)
		if err != nil && !errors.Is(err, errNoMaildir) {
			return nil, err
		}
	}
	return b.dirs.find(bases)
}

// gone: the name does not exist any more, as local and network file systems
// say it.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESTALE) }

// vanished turns the errors of something that took a message's place into
// ErrVanished.
func vanished(err error) error {
	if errors.Is(err, durable.ErrLink) || errors.Is(err, durable.ErrNotRegular) {
		return fmt.Errorf("%w: %w", maildrop.ErrVanished, err)
	}
	return err
}

// A text is a message as long as its file was when it was opened: what is
// appended later is not of it. It knows its end without a system call. It is a
// [maildrop.File].
type text struct {
	*durable.File
	left int64
}

var _ maildrop.File = (*text)(nil)

// Len implements [maildrop.File].
func (t *text) Len() int64 { return t.left }

// Skip implements [maildrop.File].
func (t *text) Skip(n int64) { t.left -= n }

func (t *text) Read(p []byte) (int, error) {
	if t.left <= 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > t.left {
		p = p[:t.left]
	}
	n, err := t.File.Read(p)
	t.left -= int64(n)
	if err == nil && t.left == 0 {
		err = io.EOF
	}
	return n, err
}
