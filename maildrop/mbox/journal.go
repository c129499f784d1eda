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

// intend writes the journal of a delivery.
func (h *hold) intend(st *unix.Stat_t, w *writer) error {
	sums, err := pagesOf(w.reader())
	if err != nil {
		return err
	}
	b := []byte(appendMagic)
	for _, n := range []uint64{uint64(st.Dev), st.Ino, uint64(st.Size), uint64(w.size())} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = sums.encode(b)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crcTable))
	name := h.spot.journal()
	_, err = h.spot.state.Lstat(name)
	f, openErr := h.spot.state.OpenFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o600)
	if openErr != nil {
		return openErr
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Truncate(0))
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err != nil { // its name is new
		return h.spot.state.Sync()
	}
	return nil
}

// repair ends what a crash interrupted.
func (h *hold) repair(ctx context.Context) error {
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
	const fixed = len(appendMagic) + 4*8
	if err != nil || len(b) < fixed+4 ||
		crc32.Checksum(b[:len(b)-4], crcTable) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return err // torn itself: nothing was appended
	}
	var n [4]uint64
	for i := range n {
		n[i] = binary.BigEndian.Uint64(b[len(appendMagic)+8*i:])
	}
	start, length := int64(n[2]), int64(n[3])
	st, err := h.file.Stat()
	if err != nil || uint64(st.Dev) != n[0] || st.Ino != n[1] || st.Size <= start {
		return err
	}
	end, err := h.partEnd(start, length, st.Size, decodePages(b[fixed:len(b)-4]))
	if err != nil || end <= start {
		return err
	}
	h.spot.log().Warn("part of a message cut off that was being delivered at a crash", "file", h.spot.path(), "octets", end-start)
	if end == st.Size {
		return h.cut(start)
	}
	return h.rewriteInPlace([]span{{start, end}}, st.Size)
}

// partEnd returns where the part of a message ends that was appended at start;
// start: there is none that can be told from other mail.
func (h *hold) partEnd(start, length, size int64, want pages) (int64, error) {
	have, err := pagesOf(part(h.file, start, min(start+length, size)))
	if err != nil {
		return start, err
	}
	same := 0
	for same < len(have) && same < len(want) && have[same] == want[same] {
		same++
	}
	if same == len(want) {
		return start, nil // it is whole
	}
	if same == 0 && len(have) > 1 {
		return start, nil // not ours
	}
	// From the first page that differs, ours may end anywhere. Mail behind it
	// begins with a From_ line; if that does not stand at a line's beginning, no
	// octet is known to be ours.
	next, atLine, err := h.findFrom(max(start+1, start+int64(same)*page), size)
	switch {
	case err != nil:
		return start, err
	case next < 0 && size <= start+length:
		return size, nil
	case next >= 0 && atLine:
		return next, nil
	}
	return start, nil
}

// findFrom finds what may be a From_ line from an offset on, at the beginning of
// a line or within one; -1: there is none.
func (h *hold) findFrom(offset, size int64) (at int64, atLine bool, err error) {
	var before [1]byte
	if _, err := h.file.ReadAt(before[:], offset-1); err != nil {
		return -1, false, err
	}
	lex := newLexer(part(h.file, offset, size))
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
