package mbox

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"strconv"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// ErrNotMbox means a file that does not begin with a From_ line.
var ErrNotMbox = errors.New("not an mbox: it does not begin with a From_ line")

// A digest is of the From_ line and of all that no mail program changes about
// a message.
type digest [16]byte

// An entry is a message in the file.
type entry struct {
	offset int64 // of the From_ line
	end    int64 // of the next one, or the file's
	size   int64 // on the wire
	digest digest
	from   uint16 // length of the From_ line
	line   uint32 // its checksum
	gap    uint8  // length of the blank line at the end, which is no part of the message
	flags  flags

	uid string // the unique-id, once it has one
	// What the message says of itself, after a scan only.
	xuidl string // or what another server called it
	xuid  uint32
}

type flags uint8

const (
	// wireReady: the text goes out as it is.
	wireReady flags = 1 << iota
	// plain: the filter changes nothing about the text.
	plain
	// pseudo: no message, but what UW's IMAP server keeps about the file.
	pseudo
	// doomed: it is to be removed, and perhaps was. In an index only.
	doomed
)

// text returns where the text of e is.
func (e *entry) text() (from, to int64) {
	return e.offset + int64(e.from), e.end - int64(e.gap)
}

// A scanner reads a file from a From_ line, or the beginning, to the end. It
// needs memory for one line, of which it keeps no more than a buffer.
type scanner struct {
	format Format
	file   io.ReaderAt
	size   int64 // of the file
	emit   func(*entry)

	lex    *lexer
	offset int64  // of the next piece
	skip   int64  // up to here, no line is a From_ line
	e      *entry // nil: none has begun
	blank  []byte // an empty line that may be the last
	filter filter
	sum    hash.Hash
	raw    *bufio.Writer // to sum
	meter  maildrop.Meter
	seen   *bufio.Writer // to meter
	open   bool          // the last line of the message has no end yet

	length   int64 // Content-Length; -1: none
	internal bool  // the subject of a pseudo message was seen
	ximap    bool
	uids     UIDs     // where unique-ids come from
	other    imitator // nil: nothing is to be computed
	// What the first message says of the file, as UW's servers keep it.
	validity uint32
	first    bool // the first message is not over
}

func newScanner(file io.ReaderAt, size int64, format Format, emit func(*entry)) *scanner {
	s := &scanner{format: format, file: file, size: size, emit: emit, sum: sha256.New(), first: true}
	s.raw = bufio.NewWriterSize(s.sum, bufferSize/2)
	s.seen = bufio.NewWriterSize(&s.meter, bufferSize/2)
	return s
}

// scan reads from offset, where a From_ line begins if it is not 0.
func (s *scanner) scan(ctx context.Context, offset int64) error {
	s.offset = offset
	s.first = offset == 0
	s.lex = newLexer(&contextReader{ctx, io.NewSectionReader(s.file, offset, s.size-offset)})
	defer s.lex.free()
	for {
		p, err := s.lex.next()
		if errors.Is(err, io.EOF) {
			s.finish()
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.piece(p); err != nil {
			return err
		}
		s.offset += int64(len(p.text))
	}
}

func (s *scanner) piece(p piece) error {
	if p.first && p.head && s.offset >= s.skip {
		if p.text[0] == 'F' && fromLine(p.text) {
			s.finish()
			s.begin(p.text)
			return nil
		}
		if s.e != nil && blankLine(p.text) {
			s.flush()
			s.blank = append(s.blank[:0], p.text...)
			s.headerEnd(p)
			return nil
		}
	}
	if s.e == nil {
		if p.first && p.head && blankLine(p.text) {
			return nil
		}
		return ErrNotMbox
	}
	s.flush()
	s.add(p)
	return nil
}

// begin begins a message.
func (s *scanner) begin(line []byte) {
	s.e = &entry{offset: s.offset, from: uint16(len(line)), line: crc32.Checksum(line, crcTable)}
	s.filter = filter{format: s.format}
	s.sum.Reset()
	s.raw.Reset(s.sum)
	s.raw.Write(line)
	s.meter = maildrop.Meter{}
	s.seen.Reset(&s.meter)
	s.length, s.internal, s.ximap, s.open = -1, false, false, false
	if s.other = s.uids.imitator(); s.other != nil {
		s.other.Write(line)
	}
}

// flush makes a blank line a part of the message, since more follows.
func (s *scanner) flush() {
	if len(s.blank) > 0 {
		s.add(piece{text: s.blank, first: true, head: true})
		s.blank = s.blank[:0]
	}
}

// add adds a piece to the message.
func (s *scanner) add(p piece) {
	if !s.filter.body && p.first && p.head && len(p.text) < bufferSize {
		s.header(p.text)
	}
	if s.other != nil {
		s.other.Write(p.text)
	}
	s.filter.visible(p, func(text []byte) { s.seen.Write(text) })
	if !s.filter.hidden {
		s.raw.Write(p.text)
		s.open = p.text[len(p.text)-1] != '\n'
	}
}

// header reads what a line of the header says of the message or the file.
func (s *scanner) header(line []byte) {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return
	}
	value = bytes.TrimSpace(value)
	switch controlField(line) {
	case "X-UIDL":
		if s.e.xuidl == "" && validUID(value) {
			s.e.xuidl = string(value)
		}
	case "X-UID":
		if n, err := strconv.ParseUint(string(value), 10, 32); err == nil {
			s.e.xuid = uint32(n)
		}
	case "X-IMAP", "X-IMAPbase":
		if words := bytes.Fields(value); s.first && len(words) >= 2 {
			n, err := strconv.ParseUint(string(words[0]), 10, 32)
			s.ximap = err == nil && len(bytes.TrimSpace(name)) == len("X-IMAP")
			s.validity = uint32(n)
		}
	case "Content-Length":
		if n, err := strconv.ParseUint(string(value), 10, 62); err == nil && s.length < 0 {
			s.length = int64(n)
		}
	case "":
		if s.first && bytes.EqualFold(name, []byte("Subject")) && bytes.Contains(value, []byte("FOLDER INTERNAL DATA")) {
			s.internal = true
		}
	}
}

// validUID: RFC 1939 §7.
func validUID(v []byte) bool {
	for _, c := range v {
		if c < 0x21 || c > 0x7e {
			return false
		}
	}
	return len(v) > 0 && len(v) <= maxUID
}

// maxUID is the longest unique-id that RFC 1939 §7 allows.
const maxUID = 70

// headerEnd believes a Content-Length that leads to a From_ line or the end.
func (s *scanner) headerEnd(p piece) {
	if s.filter.body || !s.format.counted() || s.length < 0 {
		return
	}
	body := s.offset + int64(len(p.text))
	if end := body + s.length; end <= s.size && s.boundary(end) {
		s.skip = end
	}
	s.length = -1
}

// boundary reports whether a message may end at offset, with or without a
// blank line behind it.
func (s *scanner) boundary(offset int64) bool {
	var buf [maxFrom + 2]byte
	n, err := io.ReadFull(io.NewSectionReader(s.file, offset, min(int64(len(buf)), s.size-offset)), buf[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false
	}
	rest := buf[:n]
	for range 2 {
		line, _, whole := bytes.Cut(rest, []byte("\n"))
		if len(rest) == 0 || whole && fromLine(rest[:len(line)+1]) {
			return true
		}
		if !whole || !blankLine(rest[:len(line)+1]) {
			return false
		}
		rest = rest[len(line)+1:]
	}
	return false
}

// finish ends the message before the offset.
func (s *scanner) finish() {
	e := s.e
	if e == nil {
		return
	}
	e.end, e.gap = s.offset, uint8(len(s.blank))
	s.imitate()
	s.blank = s.blank[:0]
	s.filter.end(func(text []byte) { s.seen.Write(text) })
	s.seen.Flush()
	if e.size = s.meter.Size(); s.open {
		s.raw.WriteByte('\n') // what the next delivery will add
	}
	s.raw.Flush()
	copy(e.digest[:], s.sum.Sum(nil))
	if s.meter.WireReady() {
		e.flags |= wireReady
	}
	if !s.filter.changed {
		e.flags |= plain
	}
	if s.first && s.ximap && s.internal {
		e.flags |= pseudo
	}
	s.first, s.e = false, nil
	s.emit(e)
}

// imitate takes what another server called the message, if it may be a
// unique-id.
func (s *scanner) imitate() {
	if s.other == nil {
		return
	}
	s.other.Write(s.blank)
	s.e.xuidl = ""
	if uid := s.other.uid(); validUID([]byte(uid)) {
		s.e.xuidl = uid
	}
}

// contextReader reads until ctx ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements [io.Reader].
func (c *contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// whole makes an [io.ReaderAt] of a file: one that is shorter than it was ends.
type whole struct{ *durable.File }

// ReadAt implements [io.ReaderAt].
func (w whole) ReadAt(p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := w.File.ReadAt(p[done:], offset+int64(done))
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// part returns a reader of what is between two offsets.
func part(file *durable.File, from, to int64) io.Reader {
	return io.NewSectionReader(whole{file}, from, to-from)
}
