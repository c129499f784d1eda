package durable

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"
)

// A Kind says what a directory entry is, as far as the directory knows.
type Kind uint8

// The kinds that callers tell apart. A file system may know none.
const (
	Unknown   Kind = unix.DT_UNKNOWN
	Regular   Kind = unix.DT_REG
	Directory Kind = unix.DT_DIR
)

// entriesSize is one getdents64(2) call's worth: about 3,000 messages.
const entriesSize = 256 << 10

var entries = sync.Pool{New: func() any { return new([entriesSize]byte) }}

// Each calls fn for each entry of the directory whose name does not begin with
// a dot, in the directory's own order, from the start. The name is fn's until it
// returns. [os.ReadDir] would sort and allocate what nobody wants sorted.
func (d *Dir) Each(fn func(name []byte, kind Kind)) error {
	return d.each(func(name []byte, kind Kind) {
		if name[0] != '.' {
			fn(name, kind)
		}
	})
}

// EachHidden is Each for the entries whose name begins with a dot, but for "."
// and "..".
func (d *Dir) EachHidden(fn func(name []byte, kind Kind)) error {
	return d.each(func(name []byte, kind Kind) {
		if name[0] == '.' && string(name) != "." && string(name) != ".." {
			fn(name, kind)
		}
	})
}

func (d *Dir) each(fn func(name []byte, kind Kind)) error {
	if d.read {
		if _, err := unix.Seek(d.fd, 0, unix.SEEK_SET); err != nil {
			return &fs.PathError{Op: "seek", Path: d.path, Err: err}
		}
	}
	d.read = true
	buf := entries.Get().(*[entriesSize]byte)
	defer entries.Put(buf)
	for {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Getdents(d.fd, buf[:])
			return err
		})
		if err != nil {
			return &fs.PathError{Op: "getdents", Path: d.path, Err: err}
		}
		if n == 0 {
			return nil
		}
		eachIn(buf[:n], fn)
	}
}

// eachIn walks linux_dirent64 records: inode and offset of 8 octets, the
// record's length of 2, the type, and the name, which a NUL ends.
func eachIn(b []byte, fn func(name []byte, kind Kind)) {
	const length, kind, name = 16, 18, 19
	for len(b) > name {
		size := int(binary.NativeEndian.Uint16(b[length:]))
		if size <= name || size > len(b) {
			return
		}
		text := b[name:size]
		if end := bytes.IndexByte(text, 0); end >= 0 {
			text = text[:end]
		}
		if len(text) > 0 {
			fn(text, Kind(b[kind]))
		}
		b = b[size:]
	}
}
