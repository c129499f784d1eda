package maildir

import (
	"cmp"
	"slices"
	"strings"

	"kpopd/maildrop"
	"kpopd/maildrop/index"
	"kpopd/maildrop/uidl"
)

// An entry is a message that a scan found. There may be a million: it is 32
// octets.
type entry struct {
	time   uint64 // see timeOf
	size   int64  // on the wire
	at     uint32 // of the file's name in the listing's names
	mark   uint32 // see index.Mark
	length uint8  // of the name
	base   uint8  // of the base name, which the name begins with
	in     folder
	flags  flags
}

// flags say what is known of an entry.
type flags uint8

const (
	sized     flags = 1 << iota // size was found
	sure                        // size was compared with the text
	believed                    // size is what the name tells, beside S=
	lies                        // the name tells another size
	wireReady                   // known to be so
	dead                        // it is no message, or not any more
)

// A listing is what a scan found: messages by delivery time, then by base
// name. more has the other files of those that have several, which seldom
// happens.
type listing struct {
	names   []string // in pieces, see nameAt
	entries []entry
	more    map[string][]place // by base name
	ids     *uidl.List         // nil: none
}

func (l *listing) name(e *entry) string { return l.part(e.at, e.length) }
func (l *listing) base(e *entry) string { return l.part(e.at, e.base) }

// list scans the folders.
func (d *dirs) list() (*listing, error) {
	var g gathering
	if err := d.scan(func(in folder, name []byte) { g.add(in, name) }); err != nil {
		return nil, err
	}
	l, err := g.listing()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(l.entries, l.byNumber)
	l.merge()
	return l, nil
}

// byNumber orders messages as they are numbered, and the files of one message
// so that the likeliest to be there still comes last: messages move from new
// to cur.
func (l *listing) byNumber(a, b entry) int {
	if c := cmp.Compare(a.time, b.time); c != 0 {
		return c
	}
	if c := strings.Compare(l.base(&a), l.base(&b)); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.in, b.in), strings.Compare(l.name(&a), l.name(&b)))
}

// merge makes one entry of those with one base name: the last, which keeps the
// others in more.
func (l *listing) merge() {
	list := l.entries
	l.entries = list[:0]
	for _, e := range list {
		last := len(l.entries) - 1
		if last < 0 || l.base(&l.entries[last]) != l.base(&e) {
			l.entries = append(l.entries, e)
			continue
		}
		if l.more == nil {
			l.more = make(map[string][]place)
		}
		before := &l.entries[last]
		if p := (place{before.in, l.name(before)}); p != (place{e.in, l.name(&e)}) {
			l.more[l.base(&e)] = append(l.more[l.base(&e)], p)
		}
		*before = e
	}
}

// uid returns the unique-id of a base name: the list's, or what the name makes.
// What the list gives to another message it does not take from it.
func (l *listing) uid(base string) string {
	if row, ok := l.ids.Find(base); ok {
		return row.UID
	}
	uid := uidOf(base)
	if owner, taken := l.ids.Owner(uid); taken && owner != base {
		return maildrop.Escape(base+strings.Repeat("%", maxUID), maxUID, func(byte) bool { return true })
	}
	return uid
}

// hide takes away what the list hides.
func (l *listing) hide() {
	if l.ids == nil {
		return
	}
	l.entries = slices.DeleteFunc(l.entries, func(e entry) bool {
		row, _ := l.ids.Find(l.base(&e))
		return row.Hidden
	})
}

// What an index keeps of a file: the length of its base name, its folder, and
// what is known of it.
const (
	extraBase     = 0xff
	extraCur      = 1 << 8
	extraReady    = 1 << 9
	extraBelieved = 1 << 10
	extraLies     = 1 << 11
)

// kept says under which bit of an index a flag is kept.
var kept = [...]struct {
	flag  flags
	extra uint64
}{{wireReady, extraReady}, {believed, extraBelieved}, {lies, extraLies}}

func extraOf(e *entry) uint64 {
	extra := uint64(e.base)
	if e.in == inCur {
		extra |= extraCur
	}
	for _, k := range kept {
		if e.flags&k.flag != 0 {
			extra |= k.extra
		}
	}
	return extra
}

// index returns the messages in the order of their numbers.
func (l *listing) index(s stamp) *index.Index {
	b := index.NewBuilder(len(l.entries), l.octets())
	for _, i := range l.numbered() {
		e := &l.entries[i]
		if e.flags&dead != 0 {
			continue
		}
		b.Add(l.entry(e))
		if e.flags&(sure|believed) == 0 {
			s = stamp{} // look again
		}
	}
	if !s.settled {
		s.text = ""
	}
	return b.Index(s.text)
}

func (l *listing) entry(e *entry) index.Entry {
	return index.Entry{Name: l.name(e), UID: l.uid(l.base(e)), Size: e.size, Mark: e.mark, Sure: e.flags&sure != 0, Extra: extraOf(e)}
}

// octets returns how many all names have.
func (l *listing) octets() (n int) {
	for i := range l.entries {
		n += int(l.entries[i].length)
	}
	return n
}

// known returns the messages that were looked at.
func (l *listing) known() *index.Index {
	b := index.NewBuilder(len(l.entries), l.octets())
	for i := range l.entries {
		if e := &l.entries[i]; e.flags&(sure|dead) == sure {
			b.Add(l.entry(e))
		}
	}
	return b.Index("")
}

// numbered yields the indexes of the entries in the order of their numbers:
// those first to which the list gives an order, by that.
func (l *listing) numbered() []uint32 {
	all := make([]uint32, len(l.entries))
	for i := range all {
		all[i] = uint32(i)
	}
	if l.ids == nil {
		return all
	}
	orders := make([]uint32, len(all))
	for i := range orders {
		row, _ := l.ids.Find(l.base(&l.entries[i]))
		orders[i] = row.Order - 1 // none comes last
	}
	slices.SortStableFunc(all, func(a, b uint32) int { return cmp.Compare(orders[a], orders[b]) })
	return all
}
