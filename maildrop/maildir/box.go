package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
	"kpopd/maildrop/index"
	"kpopd/maildrop/uidl"
)

// A box is a frozen view of one Maildir. It keeps both folders open from when a
// message is first asked for: a session that waits has next to nothing.
type box struct {
	dirs
	listed [folders]inode     // which they were when the listing was made
	opened bool               // those that were listed are open
	index  *index.Index       // the listing
	record *index.Index       // of the same messages: what the next session is told
	more   map[string][]place // see listing
	moved  map[int]place      // messages that were found elsewhere than index has them
	lease  maildrop.Lease
	store  *Store
	// doubted: a name was found to lie, and the record says so.
	doubted bool
	path    string // below the store's root, by which Index knows it
}

// Messages returns the listing.
func (b *box) Messages() []maildrop.Message { return b.index.Messages() }

// Close closes the folders.
func (b *box) Close() error { return b.dirs.close() }

// base returns the base name of the message at index i.
func (b *box) base(i int) string { return b.index.Name(i)[:b.index.Extra(i)&extraBase] }

// place returns where the message at index i was last.
func (b *box) place(i int) place {
	if p, ok := b.moved[i]; ok {
		return p
	}
	in := inNew
	if b.index.Extra(i)&extraCur != 0 {
		in = inCur
	}
	return place{in, b.index.Name(i)}
}

// load makes the listing: that which was served last if nothing has changed
// since, else what a scan finds.
func (b *box) load(ctx context.Context, maildir *durable.Dir) error {
	last := b.store.Index.Get(b.path)
	if s, err := stampOf(maildir, maildir.LstatDir); err == nil && b.serve(last, s) {
		return nil
	}
	defer b.dirs.close()
	if err := b.dirs.open(maildir); err != nil {
		return err
	}
	before, err := stampOf(maildir, b.dirs.stat)
	if err != nil || b.serve(last, before) {
		return err
	}
	l, err := b.list(maildir)
	if err != nil {
		return err
	}
	after, err := stampOf(maildir, b.dirs.stat)
	if err != nil {
		return err
	}
	if err := b.look(ctx, l, recall(l, last)); err != nil {
		return err
	}
	before.settled = before.settled && before.text == after.text && len(l.more) == 0
	b.more, b.index = l.more, l.index(before)
	b.remember(b.index)
	return nil
}

// serve serves the listing that was served last, if the Maildir still looks as it
// did. It notes which folders were listed.
func (b *box) serve(last *index.Index, now stamp) bool {
	b.listed = now.inodes
	if last == nil || last.Stamp != now.text {
		return false
	}
	b.index, b.record = last, last
	return true
}

// enter opens the folders that were listed, unless they are open. Others are not
// asked for their messages: that those are not there would mean nothing, as
// where a file system is mounted no more. A folder that was missing may be there
// now.
func (b *box) enter() error {
	if b.opened {
		return nil
	}
	err := b.store.in(b.path, b.dirs.open)
	if err == nil || errors.Is(err, errNoMaildir) {
		err = b.dirs.check(b.listed)
	}
	if err != nil {
		b.dirs.close()
	}
	b.opened = err == nil
	return err
}

// refused is put behind a path to name what a login found out that came to
// nothing. No path has it.
const refused = "\x00refused"

// look measures what is new, and looks whether all that may be served. A login
// that runs out of time, or is refused, leaves what it found out to the next.
func (b *box) look(ctx context.Context, l *listing, d *difference) error {
	name := b.path + refused
	known := b.store.Index.Get(name)
	recall(l, known)
	err := b.measure(ctx, l, b.store.most(d))
	if err == nil {
		err = b.store.storm(l, d)
	}
	switch {
	case err != nil && maildrop.Live(b.lease) == nil:
		b.store.Index.Put(name, l.known())
	case err == nil && known != nil:
		_, _ = b.store.Index.Forget(name)
	}
	return err
}

// remember keeps what the next session is told. Who has lost the lock says
// nothing.
func (b *box) remember(x *index.Index) {
	b.record = x
	if maildrop.Live(b.lease) == nil {
		b.store.Index.Put(b.path, x)
	}
}

// list scans the folders and reads the list of unique-ids.
func (b *box) list(maildir *durable.Dir) (*listing, error) {
	l, err := b.dirs.list()
	if err != nil {
		return nil, err
	}
	if l.ids, err = uidl.Load(maildir); err != nil {
		return nil, err
	}
	l.hide()
	return l, nil
}

// Retrieve opens the message at index i, wherever its file has gone since.
func (b *box) Retrieve(ctx context.Context, i int) (maildrop.Content, error) {
	file, octets, err := b.file(i)
	if err != nil {
		return maildrop.Content{}, fmt.Errorf("retrieve from %q: %w", b.lease.Name(), err)
	}
	ready := b.index.Extra(i)&extraReady != 0
	if b.index.Extra(i)&extraBelieved != 0 {
		if ready, err = b.prove(ctx, i, file, octets); err != nil {
			file.Close()
			return maildrop.Content{}, fmt.Errorf("retrieve from %q: %w", b.lease.Name(), err)
		}
	}
	return maildrop.Content{ReadCloser: &text{file, octets}, WireReady: ready}, nil
}

// Remeasure implements [maildrop.Remeasurer]: what a name says of a size, it
// then says in vain.
func (b *box) Remeasure(ctx context.Context, i int) error {
	size, ready, err := b.count(ctx, i)
	if err != nil {
		return fmt.Errorf("remeasure in %q: %w", b.lease.Name(), err)
	}
	b.found(i, size, ready)
	return nil
}

// count reads the message at index i.
func (b *box) count(ctx context.Context, i int) (size int64, ready bool, err error) {
	file, octets, err := b.file(i)
	if err != nil {
		return 0, false, err
	}
	defer file.Close()
	return maildrop.Measure(&patient{ctx, &text{file, octets}})
}

// found remembers what was counted of the message at index i.
func (b *box) found(i int, size int64, ready bool) {
	e := b.record.Entry(i)
	if e.Extra&extraBelieved != 0 && size != e.Size {
		e.Extra |= extraLies
	}
	e.Size, e.Sure, e.Extra = size, true, e.Extra&^(extraReady|extraBelieved)
	if ready {
		e.Extra |= extraReady
	}
	b.remember(b.record.With(i, e))
}

// file opens the file of the message at index i, a regular one, and returns its
// size.
func (b *box) file(i int) (*durable.File, int64, error) {
	if err := b.enter(); err != nil {
		return nil, 0, err
	}
	file, err := b.locate(i)
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

// locate opens the file of the message at index i where it was last; where it is
// not there, where a scan finds its base name: under several names, if it moves
// meanwhile.
func (b *box) locate(i int) (*durable.File, error) {
	const attempts = 8
	base, at := b.base(i), []place{b.place(i)}
	for range attempts {
		for _, p := range slices.Backward(at) {
			file, err := b.dirs[p.in].OpenFile(p.name, unix.O_RDONLY, 0)
			if !gone(err) {
				b.movedTo(i, p)
				return file, vanished(err)
			}
		}
		found, err := b.find(map[string]bool{base: true})
		if err != nil {
			return nil, err
		}
		if at = found[base]; len(at) == 0 {
			return nil, fmt.Errorf("%w: %s", maildrop.ErrVanished, base)
		}
	}
	return nil, fmt.Errorf("%s: moves faster than it can be opened", base)
}

func (b *box) movedTo(i int, p place) {
	if p == b.place(i) {
		return
	}
	if b.moved == nil {
		b.moved = make(map[int]place)
	}
	b.moved[i] = p
}

// find returns all places of the messages with these base names, in folders
// too that are new since the maildrop was opened.
func (b *box) find(bases map[string]bool) (map[string][]place, error) {
	if b.dirs[inNew] == nil || b.dirs[inCur] == nil {
		err := b.store.in(b.path, b.dirs.open)
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
