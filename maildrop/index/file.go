package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

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

// encode returns the file of x, the index of the maildrop called name.
func encode(name string, x *Index) []byte {
	b := make([]byte, 0, headerSize+len(name)+len(x.Stamp)+len(x.text)+len(x.rows)*recordSize)
	b = append(b, magic...)
	for _, n := range []int{0, len(name), len(x.Stamp), len(x.text), len(x.rows)} {
		b = le.AppendUint32(b, uint32(n))
	}
	b = append(append(append(b, name...), x.Stamp...), x.text...)
	for i := range x.rows {
		b = x.encodeRow(b, i)
	}
	le.PutUint32(b[len(magic):], crc32.Checksum(b[checkEnd:], castagnoli))
	return b
}

func (x *Index) encodeRow(b []byte, i int) []byte {
	r, m := &x.rows[i], &x.messages[i]
	var flags byte
	if r.sure {
		flags = flagSure
	}
	if !strings.HasPrefix(x.Name(i), m.UID) {
		flags |= flagBehind
	}
	b = le.AppendUint64(b, r.extra)
	b = le.AppendUint64(b, uint64(m.Size))
	b = le.AppendUint32(b, r.at)
	b = le.AppendUint32(b, r.mark)
	return append(b, r.name, uint8(len(m.UID)), flags, 0)
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
	flags := b[26]
	r := row{extra: le.Uint64(b), at: le.Uint32(b[16:]), mark: le.Uint32(b[20:]), name: b[24], sure: flags&flagSure != 0}
	at, length := int(r.at), int(b[25])
	if flags&flagBehind != 0 {
		at += int(r.name)
	} else if length > int(r.name) {
		return false
	}
	size := int64(le.Uint64(b[8:]))
	if int(r.at)+int(r.name) > len(x.text) || at+length > len(x.text) || size < 0 || size > maxSize {
		return false
	}
	m := maildrop.Message{UID: x.text[at : at+length], Size: size}
	x.rows[i], x.messages[i] = r, m
	return isUID(m.UID)
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
