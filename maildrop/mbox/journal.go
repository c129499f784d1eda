package mbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop/durable"
)

// A journal says what is being done to a mailbox, so that whoever opens it
// next, after a crash, can end it or take it back. It is written before the
// mailbox is, and belongs to the holder of the mailbox's lock.
//
// One of a delivery tells where the message begins and what it looks like. One
// of a rewriting in place holds all that will follow the first removed message.

const (
	appendMagic  = "kpopd mbox append 1\n"
	rewriteMagic = "kpopd mbox rewrite 1\n"
	page         = 4096
)

// pages are checksums of a text, one for each page of it.
type pages []uint32

func pagesOf(r io.Reader) (pages, error) {
	var sums pages
	buf := make([]byte, 16*page)
	for {
		n, err := io.ReadFull(r, buf)
		for at := 0; at < n; at += page {
			sums = append(sums, crc32.Checksum(buf[at:min(at+page, n)], crcTable))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return sums, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p pages) encode(b []byte) []byte {
	for _, sum := range p {
		b = binary.BigEndian.AppendUint32(b, sum)
	}
	return b
}

func decodePages(b []byte) pages {
	p := make(pages, len(b)/4)
	for i := range p {
		p[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	return p
}

func (s *spot) journal() string { return s.key + ".journal" }

// pending reports whether there is a journal.
func (s *spot) pending() (bool, error) {
	st, err := s.state.Lstat(s.journal())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return st.Size > 0, err
}

// clear empties the journal. A crash may bring it back: then the mailbox looks
// as it should be, and nothing is done.
func (s *spot) clear() error {
	f, err := s.state.OpenFile(s.journal(), unix.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(0)
}

// An appending is what a journal says of a delivery.
type appending struct {
	dev, ino uint64
	start    int64  // where the message begins
	length   int64  // how long it is
	pages    pages  // of it
	head     []byte // its From_ line and what stands before; a page at most
	first    []byte // its first page, which begins with head
}

func (a *appending) encode() []byte {
	b := []byte(appendMagic)
	for _, n := range []uint64{a.dev, a.ino, uint64(a.start), uint64(a.length), uint64(len(a.head)), uint64(len(a.first))} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = a.pages.encode(append(b, a.first...))
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crcTable))
}

// decodeAppending is the inverse of encode; nil: b is none, or not whole.
func decodeAppending(b []byte) *appending {
	const fixed = len(appendMagic) + 6*8
	if len(b) < fixed+4 || string(b[:len(appendMagic)]) != appendMagic ||
		crc32.Checksum(b[:len(b)-4], crcTable) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return nil
	}
	var n [6]uint64
	for i := range n {
		n[i] = binary.BigEndian.Uint64(b[len(appendMagic)+8*i:])
	}
	rest := b[fixed : len(b)-4]
	if n[5] > page || n[4] > n[5] || n[5] > uint64(len(rest)) || int64(n[2]) < 0 || int64(n[3]) < 0 {
		return nil
	}
	return &appending{dev: n[0], ino: n[1], start: int64(n[2]), length: int64(n[3]),
		head: rest[:n[4]], first: rest[:n[5]], pages: decodePages(rest[n[5]:])}
}

// intend writes the journal of a delivery.
func (h *hold) intend(st *unix.Stat_t, w *writer) error {
	a := &appending{dev: uint64(st.Dev), ino: st.Ino, start: st.Size, length: w.size(), head: w.head}
	var err error
	if a.pages, err = pagesOf(w.reader()); err != nil {
		return err
	}
	a.first = make([]byte, min(page, a.length))
	if _, err := io.ReadFull(w.reader(), a.first); err != nil {
		return err
	}
	name := h.spot.journal()
	_, known := h.spot.state.Lstat(name)
	f, err := h.spot.state.OpenFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(a.encode()); err != nil {
		return errors.Join(err, f.Truncate(0))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if known != nil { // its name is new
		return h.spot.state.Sync()
	}
	return nil
}

// repair ends what a crash interrupted.
func (h *hold) repair(ctx context.Context) error {
	_ = h.spot.state.Remove(h.spot.journal() + ".new") // nothing was begun of it
	torn, err := h.spot.pending()
	if err != nil || !torn {
		return err
	}
	f, err := h.spot.state.OpenFile(h.spot.journal(), unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	magic := make([]byte, len(rewriteMagic))
	if _, err := io.ReadFull(f, magic); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	switch {
	case bytes.HasPrefix(magic, []byte(appendMagic)):
		err = h.repairAppend()
	case string(magic) == rewriteMagic:
		err = h.repairRewrite(ctx, f)
	}
	if err != nil {
		return fmt.Errorf("repair %s: %w", h.spot.path(), err)
	}
	return h.spot.clear()
}

// repairAppend cuts off a part of a message that was to be appended. If mail
// that was delivered since stands behind it, it is taken out from before that.
// A file that is not what the delivery left is let alone.
func (h *hold) repairAppend() error {
	b, err := readFile(h.spot.state, h.spot.journal())
	if err != nil {
		return err
	}
	a := decodeAppending(b)
	if a == nil {
		return nil // torn itself: nothing was appended
	}
	st, err := h.file.Stat()
	if err != nil || uint64(st.Dev) != a.dev || st.Ino != a.ino || st.Size <= a.start {
		return err
	}
	end, err := h.partEnd(a, st.Size)
	if err != nil || end <= a.start {
		return err
	}
	h.spot.log().Warn("part of a message cut off that was being delivered at a crash", "file", h.spot.path(), "octets", end-a.start)
	if end == st.Size {
		return h.cut(a.start)
	}
	return h.rewriteInPlace([]span{{a.start, end}}, st.Size)
}

// partEnd returns where the part of a message ends that was appended; its start
// where there is none, or none that can be told from other mail.
func (h *hold) partEnd(a *appending, size int64) (int64, error) {
	ours, whole, err := h.ours(a, size)
	switch {
	case err != nil || ours == 0 || whole:
		return a.start, err
	case a.start+ours == size:
		return size, nil
	case ours < int64(len(a.head)):
		return a.start, nil // other mail can begin like it
	case ours == a.length:
		return a.start + ours, nil
	}
	// From there on it may be ours for less than a page. Mail behind it begins
	// with a From_ line; if that does not stand at a line's beginning, no octet
	// of it is given up.
	next, atLine, err := h.findFrom(a.start+ours, size)
	switch {
	case err != nil:
		return a.start, err
	case next < 0 && size < a.start+ours+page && size < a.start+a.length:
		return size, nil
	case next >= 0 && atLine:
		return next, nil
	}
	return a.start, nil
}

// ours returns how many octets at the start are surely those of the message: to
// the octet within its first page, in whole pages behind that; and whether that
// is all of it. Pages of zeros are what a power failure leaves of ours.
func (h *hold) ours(a *appending, size int64) (n int64, whole bool, err error) {
	have := make([]byte, min(int64(len(a.first)), size-a.start))
	if _, err := io.ReadFull(part(h.file, a.start, size), have); err != nil {
		return 0, false, err
	}
	same := 0
	for same < len(have) && have[same] == a.first[same] {
		same++
	}
	lost := same == 0 && len(bytes.TrimLeft(have, "\x00")) == 0
	if same < len(a.first) && !lost {
		return int64(same), false, nil
	}
	sums, err := pagesOf(part(h.file, a.start, min(a.start+a.length, size)))
	if err != nil {
		return 0, false, err
	}
	equal := 0
	for equal < len(sums) && equal < len(a.pages) {
		length := min(page, min(a.length, size-a.start)-int64(equal)*page)
		zero := sums[equal] == crc32.Checksum(make([]byte, length), crcTable)
		if sums[equal] != a.pages[equal] && !zero {
			break
		}
		lost = lost || zero
		equal++
	}
	n = min(int64(equal)*page, a.length, size-a.start)
	return n, n == a.length && !lost, nil
}

// findFrom finds what may be a From_ line from an offset on, at the beginning of
// a line or within one; -1: there is none.
func (h *hold) findFrom(offset, size int64) (at int64, atLine bool, err error) {
	var before [1]byte
	if _, err := h.file.ReadAt(before[:], offset-1); err != nil {
		return -1, false, err
	}
	lex := newLexer(part(h.file, offset, size))
	defer lex.free()
	begins := before[0] == '\n'
	for {
		p, err := lex.next()
		if errors.Is(err, io.EOF) {
			return -1, false, nil
		}
		if err != nil {
			return -1, false, err
		}
		if i := bytes.Index(p.text, from); i >= 0 && fromLine(tail(p.text[i:])) {
			return offset + int64(i), i == 0 && p.first && begins, nil
		}
		begins = true
		offset += int64(len(p.text))
	}
}

// tail is the end of a line that may be longer than a From_ line can be.
func tail(line []byte) []byte {
	if len(line) > maxFrom {
		return append(bytes.Clone(line[:maxFrom-1]), '\n')
	}
	return line
}

// cut makes the file end at offset.
func (h *hold) cut(offset int64) error {
	if err := h.file.Truncate(offset); err != nil {
		return err
	}
	return h.file.Sync()
}

// setAside keeps a journal that does not fit the mailbox any more, since it
// holds mail.
func (s *spot) setAside() error {
	name := fmt.Sprintf("%s.aside-%d", s.journal(), time.Now().UnixNano())
	if err := s.state.Move(s.journal(), s.state, name); err != nil {
		return err
	}
	s.log().Error("mailbox was changed by another program after a crash; what was to be rewritten is kept",
		"file", s.path(), "kept", s.state.Path()+"/"+name)
	return s.state.Sync()
}

// copySize is what is copied at once.
const copySize = 256 << 10

// copySpan copies a span of src to dst at offset.
func copySpan(h *hold, dst *durable.File, offset int64, src io.ReaderAt, sp span, sum func([]byte)) error {
	buf := make([]byte, min(copySize, sp.end-sp.start))
	for sp.start < sp.end {
		h.touch()
		n, err := src.ReadAt(buf[:min(int64(len(buf)), sp.end-sp.start)], sp.start)
		if n == 0 && err == nil {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && n == 0 {
			return err
		}
		if sum != nil {
			sum(buf[:n])
		}
		if _, err := dst.WriteAt(buf[:n], offset); err != nil {
			return err
		}
		sp.start += int64(n)
		offset += int64(n)
	}
	return nil
}
