// Package uidl keeps the unique-ids that a maildrop's messages were known by
// before it came here, and which messages are hidden from POP3: the file
// kpopd-uidl in a Maildir. It is no cache. What it says cannot be found out
// again, so that one that is damaged is an error, and never other unique-ids.
//
// The file is text:
//
//	kpopd-uidl 1
//	1 2210 - 000004d24f3e5a01 1328372225.M12P7.old.example
//	2 0 - 000004d34f3e5a01 1328372226.M99P7.old.example
//	0 0 h 1328372301.M07P9.old.example 1328372301.M07P9.old.example
//	end 3 8f2c01aa
//
// A line is a message: its place in the order of numbers, its size, its flags,
// its unique-id, and the base name of its file, which is the part before the
// colon, escaped as [maildrop.Escape] does. The last line has the number of
// messages and the CRC-32C of all before it. A message that has no line has
// the unique-id that its base name makes. A line whose file is gone means
// nothing, and goes when the file is written anew.
//
// Only who holds the maildrop's lease writes the file; anybody may read it.
package uidl

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Name is the file's name in a Maildir.
const Name = "kpopd-uidl"

// A Row is what the list knows of one message.
type Row struct {
	// UID is its unique-id (RFC 1939 §7).
	UID string
	// Order > 0: it is numbered before all messages that have none, by Order.
	Order uint32
	// Size is its octets on the wire, as they were announced before. 0: not
	// known.
	Size int64
	// Hidden: it is not shown over POP3.
	Hidden bool
}

// MaxRows bounds a list.
const MaxRows = 1 << 22

// MaxSize is the largest size that a row may tell.
const MaxSize = 999_999_999_999_999

// ErrRow means a row that may not be in a list.
var ErrRow = errors.New("not acceptable")

// A List is what the file holds: rows by base name. Two rows never share a base
// name, a unique-id, or an order. Its zero value is an empty list. Several
// goroutines may read it.
type List struct {
	bases  []string // in the order of the file
	rows   []Row
	base   map[string]int
	uid    map[string]int
	orders map[uint32]int
}

// Len returns the number of rows.
func (l *List) Len() int { return len(l.base) }

// Find returns the row of the message with this base name.
func (l *List) Find(base string) (Row, bool) {
	if l == nil {
		return Row{}, false
	}
	i, ok := l.base[base]
	if !ok {
		return Row{}, false
	}
	return l.rows[i], true
}

// Owner returns the base name of the message that has this unique-id by the
// list. A message that has no row must not be given it.
func (l *List) Owner(uid string) (base string, ok bool) {
	if l == nil {
		return "", false
	}
	i, ok := l.uid[uid]
	if !ok {
		return "", false
	}
	return l.bases[i], true
}

// All returns the rows by base name: those with an order first, by order, then
// the others by base name.
func (l *List) All() iter.Seq2[string, Row] {
	return func(yield func(string, Row) bool) {
		if l == nil {
			return
		}
		for _, i := range l.sorted() {
			if !yield(l.bases[i], l.rows[i]) {
				return
			}
		}
	}
}

func (l *List) sorted() []int {
	all := make([]int, 0, len(l.base))
	for _, i := range l.base {
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b int) int {
		x, y := l.rows[a].Order-1, l.rows[b].Order-1 // none comes last
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return strings.Compare(l.bases[a], l.bases[b])
	})
	return all
}

// Add adds the row of a message. ErrRow: there is one, its unique-id or order is
// another message's, or something in it cannot be.
func (l *List) Add(base string, r Row) error {
	if err := check(base, r); err != nil {
		return err
	}
	if l.base == nil {
		l.base, l.uid, l.orders = map[string]int{}, map[string]int{}, map[uint32]int{}
	}
	if _, twice := l.base[base]; twice {
		return fmt.Errorf("%w: message %q has two rows", ErrRow, base)
	}
	if i, twice := l.uid[r.UID]; twice {
		return fmt.Errorf("%w: unique-id %q of %q is that of %q", ErrRow, r.UID, base, l.bases[i])
	}
	if i, twice := l.orders[r.Order]; twice && r.Order > 0 {
		return fmt.Errorf("%w: order %d of %q is that of %q", ErrRow, r.Order, base, l.bases[i])
	}
	if len(l.base) == MaxRows {
		return fmt.Errorf("%w: more than %d messages", ErrRow, MaxRows)
	}
	l.put(base, r)
	return nil
}

func (l *List) put(base string, r Row) {
	i := len(l.bases)
	l.bases, l.rows = append(l.bases, base), append(l.rows, r)
	l.base[base], l.uid[r.UID] = i, i
	if r.Order > 0 {
		l.orders[r.Order] = i
	}
}

// Hide hides a message whose unique-id is uid, or shows it again. A row that it
// has keeps everything else; a new one has no order and no size.
func (l *List) Hide(base, uid string, hidden bool) error {
	i, ok := l.base[base]
	if !ok {
		return l.Add(base, Row{UID: uid, Hidden: hidden})
	}
	if l.rows[i].UID != uid {
		return fmt.Errorf("%w: %q has the unique-id %q, not %q", ErrRow, base, l.rows[i].UID, uid)
	}
	l.rows[i].Hidden = hidden
	return nil
}

// Prune drops the rows of messages that are not there any more and returns how
// many they were.
func (l *List) Prune(there func(base string) bool) int {
	was := len(l.base)
	for base, i := range l.base {
		if !there(base) {
			delete(l.base, base)
			delete(l.uid, l.rows[i].UID)
			delete(l.orders, l.rows[i].Order)
		}
	}
	return was - len(l.base)
}

// maxUID is the longest unique-id that RFC 1939 §7 allows.
const maxUID = 70

// maxBase is the longest name of a file.
const maxBase = 255

// CheckUID returns an error for what is no unique-id: RFC 1939 §7 wants 1 to 70
// octets of 0x21 to 0x7E.
func CheckUID(uid string) error {
	if len(uid) < 1 || len(uid) > maxUID {
		return fmt.Errorf("%w: unique-id %.80q has %d octets, not 1 to %d", ErrRow, uid, len(uid), maxUID)
	}
	for i := range len(uid) {
		if uid[i] < 0x21 || uid[i] > 0x7e {
			return fmt.Errorf("%w: unique-id %q", ErrRow, uid)
		}
	}
	return nil
}

func check(base string, r Row) error {
	switch {
	case base == "" || len(base) > maxBase || base[0] == '.' || strings.ContainsAny(base, "/:\x00"):
		return fmt.Errorf("%w: base name %.300q", ErrRow, base)
	case r.Size < 0 || r.Size > MaxSize:
		return fmt.Errorf("%w: size %d of %q", ErrRow, r.Size, base)
	}
	return CheckUID(r.UID)
}
