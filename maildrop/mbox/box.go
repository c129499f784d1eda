package mbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// A box is a frozen listing of one mailbox, and where its messages are now.
type box struct {
	store  *Store
	lease  maildrop.Lease
	spot   *spot // nil: the mailbox does not exist
	msgs   []maildrop.Message
	at     []entry // of the same indexes; at the last look; no uid: it is gone
	look   *look
	closed bool
}

// A look is an open file that contents share with the box.
type look struct {
	stamp
	file *durable.File
	uses int
}

// release lets go of the file.
func (l *look) release() {
	if l == nil {
		return
	}
	if l.uses--; l.uses == 0 {
		l.file.Close()
	}
}

// Messages returns the listing.
func (b *box) Messages() []maildrop.Message { return b.msgs }

// Close closes the file, unless a Content still reads it.
func (b *box) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	b.look.release()
	if b.spot != nil {
		b.spot.close()
	}
	return nil
}

// load makes the listing.
func (b *box) load(ctx context.Context) error {
	var v *view
	err := b.locate()
	if err == nil {
		v, err = b.spot.look(ctx)
	}
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	b.look = &look{stamp: v.stamp, file: v.file, uses: 1}
	b.at = v.entries
	if len(b.at) > 0 && b.at[0].flags&pseudo != 0 { // only the first can be one
		b.at = b.at[1:]
	}
	b.msgs = make([]maildrop.Message, len(b.at))
	for i := range b.at {
		b.msgs[i] = maildrop.Message{UID: b.at[i].uid, Size: b.at[i].size}
	}
	return nil
}

// locate opens the directories of the mailbox, if that was not done.
func (b *box) locate() (err error) {
	if b.spot == nil {
		b.spot, err = b.store.spot(b.lease.Name(), (*durable.Dir).Open)
	}
	return err
}

// Retrieve opens the message at index i, wherever in the file it is by now.
func (b *box) Retrieve(ctx context.Context, i int) (maildrop.Content, error) {
	c, err := b.retrieve(ctx, i)
	if err != nil {
		return c, fmt.Errorf("retrieve from %q: %w", b.lease.Name(), err)
	}
	return c, nil
}

// largeText is the size above which a text is read while it is sent. What is
// smaller is read at once, so that a mailbox that is rewritten meanwhile makes
// no difference.
const largeText = 256 << 10

func (b *box) retrieve(ctx context.Context, i int) (maildrop.Content, error) {
	const attempts = 10
	for range attempts {
		if err := b.refresh(ctx); err != nil {
			return maildrop.Content{}, err
		}
		e := b.at[i]
		if e.uid == "" || e.size != b.msgs[i].Size {
			break
		}
		from, to := e.text()
		s := &section{file: b.look.file, offset: from, end: to, e: &e, stamp: b.look.stamp, settled: b.look.settled(time.Now())}
		c := maildrop.Content{WireReady: e.flags&wireReady != 0 && e.flags&plain != 0}
		if to-from > largeText {
			b.look.uses++
			c.ReadCloser = &content{b.through(s, &e), b.look}
			return c, nil
		}
		r := b.through(s, &e)
		text, err := readAll(r, make([]byte, 0, to-from+1))
		r.Close()
		if err == nil {
			c.ReadCloser = io.NopCloser(bytes.NewReader(text))
			return c, nil
		}
		if !errors.Is(err, maildrop.ErrVanished) {
			return c, err
		}
		b.look.stamp = stamp{} // look again
	}
	return maildrop.Content{}, fmt.Errorf("%w: %s", maildrop.ErrVanished, b.msgs[i].UID)
}

// through is the filter of a text, where it needs one.
func (b *box) through(s *section, e *entry) io.ReadCloser {
	if e.flags&plain != 0 {
		return io.NopCloser(s)
	}
	return newReader(s, b.store.format())
}

func readAll(r io.Reader, text []byte) ([]byte, error) {
	for {
		if len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
		n, err := r.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if errors.Is(err, io.EOF) {
			return text, nil
		}
		if err != nil {
			return text, err
		}
	}
}

// refresh looks at the file again if it changed.
func (b *box) refresh(ctx context.Context) error {
	if b.look == nil {
		return maildrop.ErrVanished
	}
	st, err := b.spot.dir.Lstat(b.spot.name)
	if err == nil && stampOf(&st) == b.look.stamp {
		return nil
	}
	v, err := b.spot.look(ctx)
	if missing(err) || errors.Is(err, durable.ErrLink) || errors.Is(err, durable.ErrNotRegular) {
		return fmt.Errorf("%w: %w", maildrop.ErrVanished, err)
	}
	if err != nil {
		return err
	}
	b.adopt(v)
	return nil
}

// adopt finds the messages of the listing in v.
func (b *box) adopt(v *view) {
	b.look.release()
	b.look = &look{stamp: v.stamp, file: v.file, uses: 1}
	now := make(map[string]*entry, len(v.entries))
	for i := range v.entries {
		now[v.entries[i].uid] = &v.entries[i]
	}
	for i, m := range b.msgs {
		b.at[i] = entry{}
		if e := now[m.UID]; e != nil {
			b.at[i] = *e
		}
	}
}

// A content is a message that is being read.
type content struct {
	io.ReadCloser
	look *look
}

// Close lets go of the file. It is idempotent.
func (c *content) Close() error {
	c.look.release()
	c.look = nil
	return c.ReadCloser.Close()
}

// A section reads the text of a message. Where other programs write to the file
// meanwhile, it makes sure that the message still stands between two From_
// lines; else it ends in ErrVanished, since what follows may be of another.
type section struct {
	file        *durable.File
	offset, end int64
	e           *entry
	stamp       stamp
	settled     bool // every change of the file shows
}

// Read implements [io.Reader].
func (s *section) Read(p []byte) (int, error) {
	if s.offset >= s.end {
		return 0, io.EOF
	}
	n, err := s.file.ReadAt(p[:min(int64(len(p)), s.end-s.offset)], s.offset)
	if err != nil {
		return 0, err
	}
	if !s.stands() || n == 0 && len(p) > 0 {
		return 0, fmt.Errorf("%w: another program rewrote the mailbox", maildrop.ErrVanished)
	}
	s.offset += int64(n)
	return n, nil
}

// stands looks at the file if it changed.
func (s *section) stands() bool {
	st, err := s.file.Stat()
	if err != nil {
		return false
	}
	if stampOf(&st) == s.stamp && s.settled {
		return true
	}
	s.stamp = stampOf(&st)
	line := make([]byte, s.e.from)
	n, err := s.file.ReadAt(line, s.e.offset)
	if err != nil || n < len(line) || !fromLine(line) {
		return false
	}
	next := make([]byte, len(from))
	n, err = s.file.ReadAt(next, s.e.end)
	next = bytes.TrimLeft(next[:n], "\r\n") // a blank line, if none was there
	return err == nil && bytes.HasPrefix(from, next)
}
