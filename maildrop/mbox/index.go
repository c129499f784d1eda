package mbox

import (
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

// A stamp tells one state of a file from another.
type stamp struct {
	Dev, Ino     uint64
	Size         int64
	Mtime, Ctime int64 // nanoseconds
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{uint64(st.Dev), st.Ino, st.Size, st.Mtim.Nano(), st.Ctim.Nano()}
}

// settled: a change after now has another time, however coarse the clock is.
// Who sets the time of a change back still leaves another Ctime.
func (s stamp) settled(now time.Time) bool {
	tick := 20 * time.Millisecond
	if second := int64(time.Second); s.Mtime%second == 0 && s.Ctime%second == 0 {
		tick = 3 * time.Second // a file system that counts seconds, or every other
	}
	return now.UnixNano()-s.Mtime > int64(tick)
}

// A ghost is a message that was removed. Should an equal one come, down to the
// second of its arrival, it does not get the unique-id.
type ghost struct {
	digest digest
	uid    string
}

// maxGhosts are remembered: the second in which they can come back is over soon.
const maxGhosts = 4096

// An index is what is known of a file that was read before. It can be lost:
// then the file is read again, and tells the unique-ids. It is the only one who
// knows which of several messages, equal down to the second of their arrival,
// has which number, and which unique-ids went by with a duplicate X-UIDL.
type index struct {
	stamp
	settled bool
	// made is what the entries depend on besides the file.
	made     string
	validity uint32
	entries  []entry
	gone     []ghost // newest last
	// last is what was served where unique-ids came from elsewhere, instead of
	// entries. It is not written.
	last []entry
}

const indexMagic = "kpopd mbox index 2\n"

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// encode returns the index as it is written.
func (x *index) encode() []byte {
	b := make([]byte, 0, 128+len(x.entries)*72)
	b = append(b, indexMagic...)
	b = text(b, x.made)
	for _, n := range []uint64{x.Dev, x.Ino, uint64(x.Size), uint64(x.Mtime), uint64(x.Ctime), uint64(x.validity), bit(x.settled)} {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.AppendUvarint(b, uint64(len(x.entries)))
	for i := range x.entries {
		e := &x.entries[i]
		b = binary.AppendUvarint(b, uint64(e.offset))
		b = binary.AppendUvarint(b, uint64(e.end-e.offset))
		b = binary.AppendUvarint(b, uint64(e.size))
		b = binary.AppendUvarint(b, uint64(e.from))
		b = append(b, e.gap, byte(e.flags))
		b = binary.BigEndian.AppendUint32(b, e.line)
		b = append(b, e.digest[:]...)
		b = text(b, shortUID(e.uid, e.digest))
	}
	b = binary.AppendUvarint(b, uint64(len(x.gone)))
	for _, g := range x.gone {
		b = append(b, g.digest[:]...)
		b = text(b, shortUID(g.uid, g.digest))
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crcTable))
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func text(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// shortUID is "" for the unique-id that most have.
func shortUID(uid string, d digest) string {
	if uid == uidOf(d, 1) {
		return ""
	}
	return uid
}

var errIndex = errors.New("the index is damaged")

// decodeIndex is the inverse of encode. It takes any octets.
func decodeIndex(b []byte) (*index, error) {
	if len(b) < len(indexMagic)+4 || string(b[:len(indexMagic)]) != indexMagic {
		return nil, errIndex
	}
	body := b[:len(b)-4]
	if crc32.Checksum(body, crcTable) != binary.BigEndian.Uint32(b[len(body):]) {
		return nil, errIndex
	}
	r := &cursor{b: body[len(indexMagic):]}
	x := &index{made: r.text()}
	x.Dev, x.Ino = r.number(), r.number()
	x.Size, x.Mtime, x.Ctime = int64(r.number()), int64(r.number()), int64(r.number())
	x.validity, x.settled = uint32(r.number()), r.number() == 1
	const least = 27 // octets of an entry
	n := r.number()
	if n > uint64(len(r.b)/least) {
		return nil, errIndex
	}
	x.entries = make([]entry, n)
	for i := range x.entries {
		x.entries[i] = r.entry()
	}
	for range min(r.number(), maxGhosts) {
		d := r.digest()
		x.gone = append(x.gone, ghost{d, r.uid(d)})
	}
	if r.bad || len(r.b) != 0 {
		return nil, errIndex
	}
	return x, nil
}

// A cursor reads an index; bad: it ended early.
type cursor struct {
	b   []byte
	bad bool
}

func (r *cursor) number() uint64 {
	n, used := binary.Uvarint(r.b)
	if used <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[used:]
	return n
}

func (r *cursor) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *cursor) text() string { return string(r.bytes(r.number())) }

func (r *cursor) digest() (d digest) {
	copy(d[:], r.bytes(uint64(len(d))))
	return d
}

func (r *cursor) uid(d digest) string {
	if uid := r.text(); uid != "" {
		return uid
	}
	return uidOf(d, 1)
}

func (r *cursor) entry() (e entry) {
	e.offset = int64(r.number())
	e.end = e.offset + int64(r.number())
	e.size = int64(r.number())
	e.from = uint16(r.number())
	if b := r.bytes(2); b != nil {
		e.gap, e.flags = b[0], flags(b[1])
	}
	if b := r.bytes(4); b != nil {
		e.line = binary.BigEndian.Uint32(b)
	}
	e.digest = r.digest()
	e.uid = r.uid(e.digest)
	return e
}

// maxIndex bounds what is read of an index.
const maxIndex = 1 << 30

// readFile reads a file whole; nil: it does not exist.
func readFile(dir *durable.Dir, name string) ([]byte, error) {
	f, err := dir.OpenFile(name, unix.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxIndex {
		return nil, fmt.Errorf("%s/%s has %d octets", dir.Path(), name, size)
	}
	b := make([]byte, size)
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// writeFile puts a file in the place of another; sync: it is durable then.
func writeFile(dir *durable.Dir, name string, b []byte, sync bool) error {
	temp := name + ".new" // whoever writes it holds the lock of the mailbox
	f, err := dir.OpenFile(temp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		_ = dir.Remove(temp)
		return err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := dir.Replace(temp, name); err != nil || !sync {
		return err
	}
	return dir.Sync()
}
