package mbox

import (
	"context"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop/durable"
)

// A view is the file as it was at one moment.
type view struct {
	stamp
	file     *durable.File // open, not locked
	validity uint32
	entries  []entry // pseudo ones too
	gone     []ghost
}

// look returns the mailbox as it is now. One that did not change since it was
// last read, by whichever process, is neither read nor locked.
func (s *spot) look(ctx context.Context) (*view, error) {
	file, err := s.dir.OpenFile(s.name, unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	st, err := s.check(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	if x := s.readIndex(); x.settled && x.stamp == stampOf(&st) {
		return x.view(file), nil
	}
	file.Close()
	return s.read(ctx)
}

// read reads the mailbox under lock, a shared one if nothing is to be repaired.
func (s *spot) read(ctx context.Context) (*view, error) {
	for exclusive := false; ; {
		h, err := s.lock(ctx, exclusive, false)
		if err != nil {
			return nil, err
		}
		torn, err := s.pending()
		if err == nil && torn && !exclusive {
			h.release()
			exclusive = true
			continue
		}
		var v *view
		if err == nil {
			err = h.repair(ctx)
		}
		if err == nil {
			v, err = h.view(ctx)
		}
		h.unlock()
		if err != nil {
			h.file.Close()
			return nil, err
		}
		return v, nil
	}
}

// view reads what of the mailbox the index does not know, and writes the index.
func (h *hold) view(ctx context.Context) (*view, error) {
	s := h.spot
	st, err := h.file.Stat()
	if err != nil {
		return nil, err
	}
	x := s.readIndex()
	if x.settled && x.stamp == stampOf(&st) {
		return x.view(h.file), nil
	}
	entries, validity, err := h.scan(ctx, x, st.Size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path(), err)
	}
	derived := false
	assign(entries, x, s.store.UIDs, validity)
	if err := s.store.storm(entries, x.last); err != nil {
		return nil, err
	}
	next := &index{stamp: stampOf(&st), made: s.store.made(), validity: validity, gone: x.gone}
	next.settled = next.stamp.settled(time.Now())
	next.entries = make([]entry, len(entries))
	for i, e := range entries {
		next.entries[i] = *e
		derived = derived || e.uid != uidOf(e.digest, 1) && e.uid != s.store.UIDs.claimed(e, validity)
	}
	// What the file does not tell by itself is durable before it is told.
	if err := s.writeIndex(next, derived); err != nil && derived {
		return nil, err
	} else if err != nil {
		s.log().Warn("index of a mailbox not written", "file", s.path(), "err", err)
	}
	return next.view(h.file), nil
}

// scan reads the file; where it was only appended to, from its last message on.
func (h *hold) scan(ctx context.Context, x *index, size int64) ([]*entry, uint32, error) {
	format := h.spot.store.format()
	var entries []*entry
	emit := func(e *entry) {
		h.touch()
		entries = append(entries, e)
	}
	if last := len(x.entries) - 1; last >= 0 && x.made == h.spot.store.made() && h.grown(x, size) {
		for i := range x.entries[:last] {
			entries = append(entries, &x.entries[i])
		}
		sc := newScanner(whole{h.file}, size, format, emit)
		sc.uids = h.spot.store.UIDs
		err := sc.scan(ctx, x.entries[last].offset)
		if err == nil && len(entries) > last && entries[last].digest == x.entries[last].digest {
			return entries, x.validity, nil
		}
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		entries = nil
	}
	sc := newScanner(whole{h.file}, size, format, emit)
	sc.uids = h.spot.store.UIDs
	err := sc.scan(ctx, 0)
	return entries, sc.validity, err
}

// grown: the file can be the one of the index, with more behind it.
func (h *hold) grown(x *index, size int64) bool {
	st, err := h.file.Stat()
	return err == nil && uint64(st.Dev) == x.Dev && st.Ino == x.Ino && size > x.Size &&
		x.entries[len(x.entries)-1].flags&pseudo == 0 && h.unmoved(x.entries)
}

// unmoved reports whether each message still begins where it did, with the same
// From_ line. An IMAP server that changes flags may move those before the last,
// by the room that it keeps in their headers; and messages may change places.
func (h *hold) unmoved(entries []entry) bool {
	var buf [maxFrom]byte
	for i := range entries {
		e := &entries[i]
		line := buf[:min(e.from, maxFrom)]
		if n, err := h.file.ReadAt(line, e.offset); err != nil || n < len(line) || crc32.Checksum(line, crcTable) != e.line {
			return false
		}
	}
	return true
}

func (x *index) view(file *durable.File) *view {
	return &view{stamp: x.stamp, file: file, validity: x.validity, entries: x.entries, gone: x.gone}
}

// readIndex returns the index, an empty one where there is none that can be
// used. What was served in another dialect still has its unique-id; where those
// came from elsewhere, only the last ones and which are gone are of use.
func (s *spot) readIndex() *index {
	b, err := readFile(s.state, s.key+".index")
	if err == nil && b == nil {
		return new(index)
	}
	x, decodeErr := decodeIndex(b)
	if err == nil {
		err = decodeErr
	}
	if err != nil {
		s.log().Warn("index of a mailbox not read", "file", s.path(), "err", err)
		return new(index)
	}
	if made := s.store.made(); x.made != made {
		_, was, _ := strings.Cut(x.made, " ")
		if _, is, _ := strings.Cut(made, " "); was != is {
			return &index{gone: x.gone, last: x.entries}
		}
		return &index{made: x.made, entries: x.entries, gone: x.gone}
	}
	return x
}

func (s *spot) writeIndex(x *index, sync bool) error {
	return writeFile(s.state, s.key+".index", x.encode(), sync)
}
