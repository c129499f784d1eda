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
	lease   maildrop.Lease
	entries []entry
	msgs    []maildrop.Message // of the same indexes
}

// Messages returns the listing.
func (b *box) Messages() []maildrop.Message { return b.msgs }

// Close closes the folders.
func (b *box) Close() error { return b.dirs.close() }

// list makes the listing. A message that vanishes meanwhile, or turns out to
// be no regular file, is left out of it; one that cannot be read is an error,
// lest its unique-id come and go.
func (b *box) list(ctx context.Context, sizes Sizer) error {
	found, err := b.dirs.entries()
	if err != nil {
		return err
	}
	b.entries = found[:0]
	b.msgs = make([]maildrop.Message, 0, len(found))
	for _, e := range found {
		m := maildrop.Message{UID: uidOf(e.base)}
		if err := b.size(ctx, &e, &m, sizes); errors.Is(err, maildrop.ErrVanished) {
			continue
		} else if err != nil {
			return err
		}
		b.entries, b.msgs = append(b.entries, e), append(b.msgs, m)
	}
	return nil
}

// size sets the size of m, from its name, from memory or from its text.
func (b *box) size(ctx context.Context, e *entry, m *maildrop.Message, sizes Sizer) (err error) {
	var ok bool
	if m.Size, ok = sizeOf(e.base); ok {
		return nil
	}
	if sizes != nil {
		if m.Size, e.wireReady, ok = sizes.Size(b.lease.Name(), m.UID); ok {
			return nil
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	file, octets, err := b.file(e)
	if err != nil {
		return err
	}
	defer file.Close()
	m.Size, e.wireReady, err = maildrop.Measure(&text{file, octets})
	if err == nil && sizes != nil {
		sizes.Learn(b.lease.Name(), m.UID, m.Size, e.wireReady)
	}
	return err
}

// largeText is the size above which a text goes out as an [os.File], since
// sendfile(2) pays for its poller.
const largeText = 64 << 10

// Retrieve opens the message at index i, wherever its file has gone since.
func (b *box) Retrieve(ctx context.Context, i int) (maildrop.Content, error) {
	e := &b.entries[i]
	file, octets, err := b.file(e)
	if err != nil {
		return maildrop.Content{}, fmt.Errorf("retrieve from %q: %w", b.lease.Name(), err)
	}
	c := maildrop.Content{ReadCloser: &text{file, octets}, WireReady: e.wireReady}
	if octets > largeText {
		c.ReadCloser = file.OS()
	}
	return c, nil
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
		found, err := b.dirs.find(map[string]bool{e.base: true})
		if err != nil {
			return nil, err
		}
		at := found[e.base]
		if len(at) == 0 {
			break
		}
		e.place = at[len(at)-1]
	}
	return nil, fmt.Errorf("%w: %s", maildrop.ErrVanished, e.base)
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

// A text is a message as long as its file was when it was opened. It knows its
// end without a system call.
type text struct {
	*durable.File
	left int64
}

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
