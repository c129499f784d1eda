package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"kpopd/maildrop"
)

// The file: a header, the maildrop's name, the stamp, the text, and a record
// for each message. All numbers are little-endian. The check covers everything
// behind itself.
//
//	header  magic 8, CRC-32C 4, length of name 4, of stamp 4, of text 4, messages 4
//	record  extra 8, size 8, name at 4, mark 4, length of name 1, of unique-id 1, flags 1, 0
//
// A unique-id begins where the name does, or where it ends.
const (
	magic      = "kpopidx\x01" // ends with the version
	headerSize = 28
	checkEnd   = 12
	recordSize = 28
)

// The flags of a record.
const (
	flagSure = 1 << iota
	flagBehind
)

// maxSize bounds a message, so that no sum of sizes overflows.
const maxSize = 1 << 50

// maxFile bounds what is read: some ten million messages.
const maxFile = 1 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errFile means a file that is no index of this version and maildrop.
var errFile = errors.New("not an index of this maildrop")

var le = binary.LittleEndian

// encode gives put the file of x, the index of the maildrop called name, in
// pieces and in order, but for the header, which it returns: the check in it is
// known in the end. The pieces are put's until it returns.
func encode(name string, x *Index, put func([]byte) error) (header []byte, err error) {
	header = make([]byte, 0, headerSize)
	header = append(header, magic...)
	for _, n := range []int{0, len(name), len(x.Stamp), len(x.text), len(x.rows)} {
		header = le.AppendUint32(header, uint32(n))
	}
	w := pieces{put: put, check: crc32.Checksum(header[checkEnd:], castagnoli)}
	for _, text := range []string{name, x.Stamp, x.text} {
		w.add(text)
	}
	for i := range x.rows {
		w.buf = x.encodeRow(w.buf, i)
		w.flush(pieceSize)
	}
	w.flush(1)
	le.PutUint32(header[len(magic):], w.check)
	return header, w.err
}

// pieceSize is what one write(2) of a large index takes.
const pieceSize = 64 << 10

// pieces are what encode makes on its way to put.
type pieces struct {
	put   func([]byte) error
	check uint32
	buf   []byte
	err   error
}

func (w *pieces) add(text string) {
	for len(text) > 0 {
		n := min(len(text), pieceSize)
		w.buf = append(w.buf, text[:n]...)
		text = text[n:]
		w.flush(pieceSize)
	}
}

// flush gives away what there is, if it is at least so much.
func (w *pieces) flush(least int) {
	if len(w.buf) < least {
		return
	}
	w.check = crc32.Update(w.check, castagnoli, w.buf)
	if w.err == nil {
		w.err = w.put(w.buf)
	}
	w.buf = w.buf[:0]
}

// size returns how many octets the file of x has.
func (x *Index) size(name string) int {
	return headerSize + len(name) + len(x.Stamp) + len(x.text) + len(x.rows)*recordSize
}

func (x *Index) encodeRow(b []byte, i int) []byte {
	r := &x.rows[i]
	var flags byte
	if r.sure {
		flags = flagSure
	}
	if r.behind {
		flags |= flagBehind
	}
	b = le.AppendUint64(b, r.extra)
	b = le.AppendUint64(b, uint64(x.messages[i].Size))
	b = le.AppendUint32(b, r.at)
	b = le.AppendUint32(b, r.mark)
	return append(b, r.name, r.uid, flags, 0)
}

// decode reads the file of the maildrop called name. It takes any octets; what
// it returns keeps every rule of an index.
func decode(name string, b []byte) (*Index, error) {
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return nil, errFile
	}
	if crc32.Checksum(b[checkEnd:], castagnoli) != le.Uint32(b[len(magic):]) {
		return nil, fmt.Errorf("%w: damaged", errFile)
	}
	var parts [4]int
	for i := range parts {
		parts[i] = int(le.Uint32(b[checkEnd+4*i:]))
	}
	owner, stamp, text, count := parts[0], parts[1], parts[2], parts[3]
	if rest := b[headerSize:]; owner+stamp+text+count*recordSize != len(rest) || string(rest[:owner]) != name {
		return nil, fmt.Errorf("%w: another's", errFile)
	}
	b = b[headerSize+owner:]
	x := &Index{Stamp: string(b[:stamp]), text: string(b[stamp : stamp+text])}
	if err := x.decodeRows(b[stamp+text:], count); err != nil {
		return nil, err
	}
	return x, nil
}

func (x *Index) decodeRows(b []byte, count int) error {
	x.rows, x.messages = make([]row, count), make([]maildrop.Message, count)
	for i := range count {
		if !x.decodeRow(b[i*recordSize:(i+1)*recordSize], i) {
			return fmt.Errorf("%w: record %d", errFile, i)
		}
	}
	return nil
}

func (x *Index) decodeRow(b []byte, i int) bool {
	r := row{
		extra: le.Uint64(b), at: le.Uint32(b[16:]), mark: le.Uint32(b[20:]), name: b[24], uid: b[25],
		sure: b[26]&flagSure != 0, behind: b[26]&flagBehind != 0,
	}
	end := int(r.at) + int(r.name)
	if r.behind {
		end += int(r.uid)
	} else if r.uid > r.name {
		return false
	}
	size := int64(le.Uint64(b[8:]))
	if end > len(x.text) || size < 0 || size > maxSize {
		return false
	}
	x.rows[i] = r
	x.messages[i] = maildrop.Message{UID: x.uid(i), Size: size}
	return isUID(x.messages[i].UID)
}

// isUID reports whether s is a unique-id. RFC 1939 §7.
func isUID(s string) bool {
	if len(s) == 0 || len(s) > maxUID {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
