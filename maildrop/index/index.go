// Package index remembers, for each maildrop, what was served last: names,
// unique-ids, sizes, and whatever a store adds. A store that finds its maildrop
// unchanged serves that again; else it looks only at what is new, and sees
// whether unique-ids of messages that clients know are about to change.
//
// An index is a cache: it is never the truth about a unique-id. It may be
// removed at any time, and one that is damaged, of another version or of
// another maildrop is as good as none.
//
// Each maildrop's index is one flat file, read at once, checked by a CRC and
// replaced by rename(2). An embedded database would be the wrong tool. bbolt
// locks its file for one process with flock(2), where several share a state
// directory here; it maps pages of memory, where what a session needs is the
// whole list; it copies pages and frees them later, where each list replaces
// the one before; and one file for all maildrops would be one place for all to
// break. Nor is there an fsync: a file that a power failure truncates or fills
// with zeros fails its check, and is made anew.
package index

import (
	"bytes"
	"hash/crc32"
	"strings"

	"kpopd/maildrop"
)

// An Index is the listing of one maildrop and what its store keeps beside it.
// It never changes, and is safe for concurrent use.
type Index struct {
	// Stamp is how the store knows a maildrop that has not changed. Empty: it
	// has to be looked at.
	Stamp    string
	text     string // all names and unique-ids
	rows     []row  // of the same indexes as messages
	messages []maildrop.Message
}

// A row is a message's: 24 octets, since there may be a million.
type row struct {
	extra  uint64
	at     uint32 // of the name in the text
	mark   uint32
	name   uint8 // its length
	uid    uint8 // that of the unique-id
	behind bool  // the unique-id begins where the name ends, not where it does
	sure   bool
}

// An Entry is one message of an index.
type Entry struct {
	Name  string // of at most 255 octets, by which the store finds the message
	UID   string // of 1 to 70 octets
	Size  int64
	Mark  uint32 // tells texts of one size apart: see [Mark]. 0: not known
	Sure  bool   // Size was counted, or compared with the text, and stays
	Extra uint64 // the store's own
}

// Len returns the number of messages.
func (x *Index) Len() int {
	if x == nil {
		return 0
	}
	return len(x.rows)
}

// Messages returns the listing, which nobody changes.
func (x *Index) Messages() []maildrop.Message { return x.messages }

// Name returns the name of the message at index i.
func (x *Index) Name(i int) string {
	r := &x.rows[i]
	return x.text[r.at : r.at+uint32(r.name)]
}

// Extra returns what the store keeps of the message at index i.
func (x *Index) Extra(i int) uint64 { return x.rows[i].extra }

// Entry returns all of the message at index i.
func (x *Index) Entry(i int) Entry {
	r, m := &x.rows[i], &x.messages[i]
	return Entry{Name: x.Name(i), UID: m.UID, Size: m.Size, Mark: r.mark, Sure: r.sure, Extra: r.extra}
}

// Without returns the index without the messages for which drop is true, with
// no stamp.
func (x *Index) Without(drop func(i int) bool) *Index {
	b := NewBuilder(x.Len(), len(x.text))
	for i := range x.Len() {
		if !drop(i) {
			b.Add(x.Entry(i))
		}
	}
	return b.Index("")
}

// With returns the index with another entry at index i, with no stamp.
func (x *Index) With(i int, e Entry) *Index {
	b := NewBuilder(x.Len(), len(x.text))
	for k := range x.Len() {
		if k == i {
			b.Add(e)
		} else {
			b.Add(x.Entry(k))
		}
	}
	return b.Index("")
}

// memory is about how many octets the index takes.
func (x *Index) memory() int64 {
	const rowSize, messageSize, rest = 24, 24, 256
	return int64(len(x.text)) + int64(len(x.rows))*(rowSize+messageSize) + rest
}

// A Builder makes an index.
type Builder struct {
	text     strings.Builder
	rows     []row
	messages []maildrop.Message
}

// NewBuilder returns a Builder for about so many messages, whose names and
// unique-ids have about so many octets.
func NewBuilder(messages, octets int) *Builder {
	b := &Builder{rows: make([]row, 0, messages), messages: make([]maildrop.Message, 0, messages)}
	b.text.Grow(octets)
	return b
}

// maxText bounds the names of one maildrop: 4 GiB, some fifty million.
const maxText = 1<<32 - 1<<10

// Add adds a message. It does nothing, and returns false, where the index is
// full or the entry not one.
func (b *Builder) Add(e Entry) bool {
	if b.text.Len() > maxText || len(e.Name) > 255 || !isUID(e.UID) || e.Size < 0 || e.Size > maxSize {
		return false
	}
	r := row{extra: e.Extra, at: uint32(b.text.Len()), mark: e.Mark, name: uint8(len(e.Name)), uid: uint8(len(e.UID)), sure: e.Sure}
	b.text.WriteString(e.Name)
	if !strings.HasPrefix(e.Name, e.UID) { // most are
		r.behind = true
		b.text.WriteString(e.UID)
	}
	b.rows, b.messages = append(b.rows, r), append(b.messages, maildrop.Message{Size: e.Size})
	return true
}

// Index returns what was added. The Builder is not used any more.
func (b *Builder) Index(stamp string) *Index {
	x := &Index{Stamp: stamp, text: b.text.String(), rows: b.rows, messages: b.messages}
	for i := range x.rows {
		x.messages[i].UID = x.uid(i)
	}
	return x
}

// uid returns the unique-id of the message at index i.
func (x *Index) uid(i int) string {
	r := &x.rows[i]
	at := r.at
	if r.behind {
		at += uint32(r.name)
	}
	return x.text[at : at+uint32(r.uid)]
}

// markSize is how much of a text its mark is made from.
const markSize = 512

// Mark returns what tells the text that begins with head, the first octets of
// it, from others of its size: its header has times and identifiers in them.
// How lines end makes no difference. It is never 0.
func Mark(head []byte) uint32 {
	sum := uint32(0)
	for head = head[:min(len(head), markSize)]; ; {
		line, rest, more := bytes.Cut(head, newline)
		sum = crc32.Update(sum, castagnoli, bytes.TrimSuffix(line, carriage))
		if sum = crc32.Update(sum, castagnoli, newline); !more {
			break
		}
		head = rest
	}
	return max(sum, 1)
}

var newline, carriage = []byte("\n"), []byte("\r")

// maxUID is the longest unique-id of RFC 1939 §7.
const maxUID = 70
