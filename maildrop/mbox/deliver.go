package mbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// Deliver appends msg to the mailbox of name, which is made where it is missing,
// with mode 0600; directories on the way get 0700, and only the store's root
// must exist. What msg has of the control fields is left out, since a sender
// could write there that his message was read.
//
// The message is taken in before the mailbox is locked. It is there whole or
// not at all, whenever the process or the machine stops: a part of it is cut
// off by whoever opens the mailbox next. On an error it is not there, unless
// only the last fsync failed.
func (s *Store) Deliver(ctx context.Context, name string, msg io.Reader) error {
	if err := s.deliver(ctx, name, msg); err != nil {
		return fmt.Errorf("deliver to %q: %w", name, err)
	}
	return nil
}

func (s *Store) deliver(ctx context.Context, name string, msg io.Reader) error {
	spot, err := s.spot(name, func(d *durable.Dir, name string) (*durable.Dir, error) { return d.Make(name, 0o700) })
	if err != nil {
		return err
	}
	defer spot.close()
	w := newWriter(s.format(), spot.state)
	defer w.close()
	if err := w.take(ctx, msg); err != nil {
		return err
	}
	h, err := spot.lock(ctx, true, true)
	if err != nil {
		return err
	}
	defer h.release()
	if err := h.repair(ctx); err != nil {
		return err
	}
	return h.append(w)
}

// append appends the message that w holds.
func (h *hold) append(w *writer) error {
	st, err := h.file.Stat()
	if err != nil {
		return err
	}
	ahead, err := h.separator(st.Size)
	if err != nil {
		return err
	}
	w.finish(ahead, time.Now())
	if err := h.intend(&st, w); err != nil {
		return err
	}
	if err = w.writeTo(h, st.Size); err == nil {
		h.arrived(&st)
		err = h.file.Sync()
	}
	if err != nil {
		if undo := h.file.Truncate(st.Size); undo != nil {
			return errors.Join(err, undo) // the next to open it cuts it
		}
	}
	if clearErr := h.spot.clear(); err != nil || clearErr != nil {
		return errors.Join(err, clearErr)
	}
	if st.Size == 0 {
		return h.spot.dir.Sync()
	}
	return nil
}

// separator returns what has to precede a From_ line at the end of the file: the
// rest of an empty line. ErrNotMbox: the file is none.
func (h *hold) separator(size int64) ([]byte, error) {
	if size == 0 {
		return nil, nil
	}
	head := make([]byte, min(size, maxFrom))
	if _, err := h.file.ReadAt(head, 0); err != nil {
		return nil, err
	}
	head = bytes.TrimLeft(head, "\r\n")
	if line, _, whole := bytes.Cut(head, []byte("\n")); len(head) > 0 && (!whole || !fromLine(head[:len(line)+1])) {
		return nil, fmt.Errorf("%s: %w", h.spot.path(), ErrNotMbox)
	}
	tail := make([]byte, min(size, 3))
	if _, err := h.file.ReadAt(tail, size-int64(len(tail))); err != nil {
		return nil, err
	}
	switch {
	case bytes.HasSuffix(tail, []byte("\n\n")), bytes.HasSuffix(tail, []byte("\n\r\n")):
		return nil, nil
	case bytes.HasSuffix(tail, []byte("\n")):
		return []byte("\n"), nil
	}
	return []byte("\n\n"), nil
}

// arrived sets the times as programs expect that look for new mail: changed
// after the last access.
func (h *hold) arrived(before *unix.Stat_t) {
	now := time.Now()
	access := min(before.Atim.Nano(), now.Add(-time.Second).UnixNano())
	_ = h.file.SetTimes(unix.NsecToTimespec(access), unix.NsecToTimespec(now.UnixNano()))
}

// A writer turns a message into what is appended to a mailbox, and keeps it: in
// memory, or in a file without a name where it is large.
type writer struct {
	filter  // of the message's header
	state   *durable.Dir
	buf     []byte
	file    *durable.File // nil: all is in buf
	written int64         // to file
	octets  int64         // of the text as appended
	body    int64         // of its body
	last    byte          // the last octet
	head    []byte        // what is written before the text
}

// maxMemory is what of a message is kept in memory.
const maxMemory = 256 << 10

func newWriter(format Format, state *durable.Dir) *writer {
	return &writer{filter: filter{format: format}, state: state}
}

func (w *writer) close() {
	if w.file != nil {
		w.file.Close()
	}
}

// take reads the message.
func (w *writer) take(ctx context.Context, msg io.Reader) error {
	lex := newLexer(&contextReader{ctx, msg})
	defer lex.free()
	for {
		p, err := lex.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = w.piece(p)
		}
		if err != nil {
			return err
		}
	}
	switch { // the last line gets an end that makes CRLF of it on the wire
	case w.octets == 0 || w.last == '\n':
		return nil
	case w.last == '\r':
		return w.put([]byte("\r\n"))
	}
	return w.put([]byte("\n"))
}

// piece takes a piece of the message.
func (w *writer) piece(p piece) error {
	inBody := w.filter.body
	if p.first && !inBody {
		w.field(p)
	}
	if w.hidden {
		return nil
	}
	if p.head && bytes.HasPrefix(p.text, from) && w.format.quotes(p.ran, !inBody) {
		if err := w.put(quote); err != nil {
			return err
		}
	}
	if err := w.put(p.text); err != nil {
		return err
	}
	if !inBody {
		w.body = 0 // the empty line is no part of the body
	}
	return nil
}

func (w *writer) put(p []byte) error {
	w.octets += int64(len(p))
	w.body += int64(len(p))
	w.last = p[len(p)-1]
	w.buf = append(w.buf, p...)
	if len(w.buf) < maxMemory {
		return nil
	}
	return w.spill()
}

// spill moves what is in memory to the file.
func (w *writer) spill() (err error) {
	if w.file == nil {
		if w.file, err = temporary(w.state); err != nil {
			return err
		}
		w.head = bytes.Clone(w.buf[:16<<10]) // for the envelope
	}
	n, err := w.file.WriteAt(w.buf, w.written)
	w.written += int64(n)
	w.buf = w.buf[:0]
	return err
}

// temporary opens a file that has no name, or none for long.
func temporary(dir *durable.Dir) (*durable.File, error) {
	f, err := dir.Temp(0o600)
	if err == nil || !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return f, err
	}
	name := fmt.Sprintf("spool-%d", time.Now().UnixNano())
	if f, err = dir.OpenFile(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600); err == nil {
		err = dir.Remove(name)
	}
	return f, err
}

// finish makes the head: what separates the message from the one before, the
// From_ line, and the length of the body where the format has it.
func (w *writer) finish(ahead []byte, now time.Time) {
	top := w.head
	if w.file == nil {
		top = w.buf
	}
	envelope, _ := maildrop.ParseEnvelope(bytes.NewReader(top))
	head := append(bytes.Clone(ahead), newFrom(envelope.Sender, now)...)
	if w.format.counted() {
		head = fmt.Appendf(head, "Content-Length: %d\n", w.body)
	}
	w.head = head
}

// size is how many octets are appended.
func (w *writer) size() int64 { return int64(len(w.head)) + w.octets + 1 }

// reader reads what is appended.
func (w *writer) reader() io.Reader {
	parts := []io.Reader{bytes.NewReader(w.head)}
	if w.file != nil {
		parts = append(parts, part(w.file, 0, w.written))
	}
	return io.MultiReader(append(parts, bytes.NewReader(w.buf), bytes.NewReader([]byte("\n")))...)
}

// writeTo writes the message at offset.
func (w *writer) writeTo(h *hold, offset int64) error {
	buf := make([]byte, copySize)
	r := w.reader()
	for {
		h.touch()
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if _, err := h.file.WriteAt(buf[:n], offset); err != nil {
				return err
			}
			offset += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
