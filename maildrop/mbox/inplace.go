package mbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"golang.org/x/sys/unix"

	"kpopd/maildrop/durable"
)

// A rewriting in place: the file's octets from first on become those of the
// tail, behind which it ends. Before the first octet of the tail is written, a
// mark that nobody else can have written is put where the file will end, and
// goes when it is cut off there: as long as the mark stands, what is behind size
// came later, and a tail without it is one that came to its end.
type rewriting struct {
	dev, ino uint64
	size     int64 // of the file before
	first    int64
	length   int64 // of the tail
	mark     [32]byte
	old      pages // from first to size, before
	at       int64 // of the tail in the journal
}

// end is where the file ends when all is done.
func (r *rewriting) end() int64 { return r.first + r.length }

// marked is the mark, as much of it as there is room for.
func (r *rewriting) marked() []byte { return r.mark[:min(int64(len(r.mark)), r.size-r.end())] }

// rewriteInPlace removes spans from the file. Once the journal is written,
// nothing stops it but a crash or a disk that fails; then the next who opens the
// mailbox ends it.
func (h *hold) rewriteInPlace(spans []span, size int64) error {
	st, err := h.file.Stat()
	if err != nil {
		return err
	}
	r := &rewriting{dev: uint64(st.Dev), ino: st.Ino, size: size, first: spans[0].start}
	tail := kept(spans, size)
	if r.first > 0 {
		tail = tail[1:]
	}
	for _, sp := range tail {
		r.length += sp.size()
	}
	rand.Read(r.mark[:])
	if r.old, err = pagesOf(part(h.file, r.first, size)); err != nil {
		return err
	}
	j, err := h.writeJournal(r, tail)
	if err != nil {
		return err
	}
	defer j.Close()
	if err := h.overwrite(r, j); err != nil {
		return err
	}
	if err := h.spot.state.Remove(h.spot.journal()); err != nil {
		return err
	}
	return h.spot.state.Sync()
}

// overwrite does what the journal j says.
func (h *hold) overwrite(r *rewriting, j *durable.File) error {
	if err := h.putTail(r, j); err != nil {
		return err
	}
	return h.cut(r.end())
}

// putTail writes the mark and the tail.
func (h *hold) putTail(r *rewriting, j *durable.File) error {
	if _, err := h.file.WriteAt(r.marked(), r.end()); err != nil {
		return err
	}
	if err := h.file.Sync(); err != nil {
		return err
	}
	if err := copySpan(h, h.file, r.first, j, span{r.at, r.at + r.length}, nil); err != nil {
		return err
	}
	return h.file.Sync()
}

// writeJournal writes the journal and makes it durable.
func (h *hold) writeJournal(r *rewriting, tail []span) (*durable.File, error) {
	s := h.spot
	temp := s.journal() + ".new"
	j, err := s.state.OpenFile(temp, unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	err = h.fillJournal(r, tail, j)
	if err == nil {
		err = j.Sync()
	}
	if err == nil {
		err = s.state.Replace(temp, s.journal())
	}
	if err != nil {
		j.Close()
		_ = s.state.Remove(temp)
		return nil, err
	}
	if err := s.state.Sync(); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

func (h *hold) fillJournal(r *rewriting, tail []span, j *durable.File) error {
	b := []byte(rewriteMagic)
	for _, n := range []uint64{r.dev, r.ino, uint64(r.size), uint64(r.first), uint64(r.length), uint64(len(r.old))} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = r.old.encode(append(b, r.mark[:]...))
	r.at = int64(len(b))
	if _, err := j.WriteAt(b, 0); err != nil {
		return err
	}
	sum := crc32.Checksum(b, crcTable)
	at := r.at
	for _, sp := range tail {
		err := copySpan(h, j, at, h.file, sp, func(p []byte) { sum = crc32.Update(sum, crcTable, p) })
		if err != nil {
			return err
		}
		at += sp.size()
	}
	_, err := j.WriteAt(binary.BigEndian.AppendUint32(nil, sum), at)
	return err
}

// errJournal means a journal that is not whole, so that nothing was begun.
var errJournal = errors.New("the journal is not whole")

func readJournal(j *durable.File) (*rewriting, error) {
	const fixed = len(rewriteMagic) + 6*8 + 32
	size, err := j.Size()
	if err != nil {
		return nil, err
	}
	if size < int64(fixed)+4 {
		return nil, errJournal
	}
	b := make([]byte, fixed)
	if _, err := io.ReadFull(part(j, 0, size), b); err != nil {
		return nil, err
	}
	var n [6]uint64
	for i := range n {
		n[i] = binary.BigEndian.Uint64(b[len(rewriteMagic)+8*i:])
	}
	r := &rewriting{dev: n[0], ino: n[1], size: int64(n[2]), first: int64(n[3]), length: int64(n[4])}
	copy(r.mark[:], b[fixed-32:])
	if n[5] > uint64(size)/4 || r.first < 0 || r.length < 0 || r.end() < r.first || r.size < r.end() ||
		int64(n[5]) != (r.size-r.first+page-1)/page || size != int64(fixed)+int64(n[5])*4+r.length+4 {
		return nil, errJournal
	}
	old := make([]byte, 4*n[5])
	if _, err := io.ReadFull(part(j, int64(fixed), size), old); err != nil {
		return nil, err
	}
	r.old, r.at = decodePages(old), int64(fixed+len(old))
	return r, checksum(j, size)
}

func checksum(j *durable.File, size int64) error {
	var want [4]byte
	if _, err := j.ReadAt(want[:], size-4); err != nil {
		return err
	}
	sum := crc32.New(crcTable)
	if _, err := io.Copy(sum, part(j, 0, size-4)); err != nil {
		return err
	}
	if sum.Sum32() != binary.BigEndian.Uint32(want[:]) {
		return errJournal
	}
	return nil
}

// repairRewrite ends a rewriting in place that a crash interrupted.
func (h *hold) repairRewrite(ctx context.Context, j *durable.File) error {
	r, err := readJournal(j)
	if errors.Is(err, errJournal) {
		return nil
	}
	if err != nil {
		return err
	}
	st, err := h.file.Stat()
	if err != nil {
		return err
	}
	whole, err := h.begins(r, j, false)
	if err != nil {
		return err
	}
	if uint64(st.Dev) != r.dev || st.Ino != r.ino || !whole && st.Size < r.size {
		return h.spot.setAside()
	}
	if marked, err := h.begins(r, j, true); err != nil || whole && !marked {
		return err // it came to its end
	}
	if ours, err := h.half(r, j); err != nil {
		return err
	} else if !ours {
		return h.spot.setAside()
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	h.spot.log().Warn("rewriting of a mailbox ended that a crash interrupted", "file", h.spot.path())
	if st.Size == r.size {
		return h.overwrite(r, j)
	}
	return h.overwriteGrown(r, j, st.Size)
}

// overwriteGrown does what overwrite does, where mail arrived after the crash:
// that is kept, as a rewriting of its own.
func (h *hold) overwriteGrown(r *rewriting, j *durable.File, size int64) error {
	if err := h.putTail(r, j); err != nil {
		return err
	}
	return h.rewriteInPlace([]span{{r.end(), r.size}}, size)
}

// begins reports whether the tail stands in the file already, and, if mark,
// whether the mark is behind it.
func (h *hold) begins(r *rewriting, j *durable.File, mark bool) (bool, error) {
	same, err := equal(part(h.file, r.first, r.end()), part(j, r.at, r.at+r.length), r.length)
	if err != nil || !same || !mark {
		return same, err
	}
	got := make([]byte, len(r.marked()))
	n, err := h.file.ReadAt(got, r.end())
	return n == len(got) && string(got) == string(r.marked()), err
}

// half reports whether each page of the file from first to size is as it was
// or as it will be: nobody else has written there.
func (h *hold) half(r *rewriting, j *durable.File) (bool, error) {
	future := io.MultiReader(part(j, r.at, r.at+r.length), bytes.NewReader(r.marked()))
	now := part(h.file, r.first, r.size)
	var a, b [page]byte
	torn := 0
	for _, old := range r.old {
		n, err := io.ReadFull(now, a[:])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, fmt.Errorf("read what was rewritten: %w", err)
		}
		m, err := io.ReadFull(future, b[:n])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return false, err
		}
		if crc32.Checksum(a[:n], crcTable) == old || m == n && string(a[:n]) == string(b[:m]) {
			continue
		}
		if torn++; torn > 2 { // a page of which a part was written, and the one with the mark
			return false, nil
		}
	}
	return true, nil
}

// equal compares n octets.
func equal(a, b io.Reader, n int64) (bool, error) {
	var x, y [16 * page]byte
	for n > 0 {
		want := min(n, int64(len(x)))
		i, err := io.ReadFull(a, x[:want])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		k, err := io.ReadFull(b, y[:want])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, err
		}
		if int64(i) != want || int64(k) != want || x != y {
			return false, nil
		}
		n -= want
	}
	return true, nil
}
