package maildir

import (
	"context"
	"fmt"
	"math"
	"slices"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// Of messages whose names tell both of their sizes, a login looks at no more
// than enough, evenly spread, and believes the others: to open each of a hundred
// thousand is most of what the first login would cost. They are looked at by
// later logins that read the folders, so many each; where one of them lies, all
// at once; and each before it is first sent, see [box.prove].
const enough = 100

// told is what others tell of a message: its size, and that it is wire-ready.
type told struct {
	size      int64
	ok, ready bool
	stored    int64 // octets of the file, as its name tells; -1: it does not
}

// told returns what a message's name tells, or the list of unique-ids.
func (l *listing) told(e *entry) told {
	if stored, size, ok := sizesOf(l.base(e)); ok {
		return told{size, true, readyOf(l.base(e)), stored}
	}
	row, ok := l.ids.Find(l.base(e))
	return told{size: row.Size, ok: ok && row.Size > 0, stored: -1}
}

// holds reports whether a large file can have the wire size that is told of it.
func (t told) holds(file *durable.File, octets int64) (bool, error) {
	if !t.ok || octets <= smallText || t.size < octets || t.size > 2*octets || t.stored >= 0 && t.stored != octets {
		return false, nil
	}
	return endsLine(file, octets)
}

// endsLine reports whether the last octet of a file is a line end.
func endsLine(file *durable.File, octets int64) (bool, error) {
	var last [1]byte
	n, err := file.ReadAt(last[:], octets-1)
	return n == 1 && last[0] == '\n', err
}

// compare notes whether the name of e, which was looked at, told the truth.
func (e *entry) compare(t told) {
	if t.stored >= 0 && e.flags&sure != 0 && e.size != t.size {
		e.flags |= lies
	}
}

// believe gives messages the sizes that their names tell.
func (l *listing) believe() {
	for i := range l.entries {
		e := &l.entries[i]
		if e.flags&(sized|dead) != 0 {
			continue
		}
		stored, size, ok := sizesOf(l.base(e))
		if !ok || stored < 0 {
			continue
		}
		e.size, e.flags = size, e.flags|sized|believed
		if stored == size && readyOf(l.base(e)) {
			e.flags |= wireReady
		}
	}
}

// lied reports whether a name is known to have told a wrong size.
func (l *listing) lied() bool {
	return slices.ContainsFunc(l.entries, func(e entry) bool { return e.flags&(lies|dead) == lies })
}

// unsized returns the messages whose sizes are not known.
func (l *listing) unsized() (all []uint32) {
	for i := range l.entries {
		if l.entries[i].flags&(sized|dead) == 0 {
			all = append(all, uint32(i))
		}
	}
	return all
}

// sample returns most of the messages that are believed, evenly spread.
func (l *listing) sample(most int) []uint32 {
	if most == 0 {
		return nil
	}
	all := 0
	for i := range l.entries {
		all += l.entries[i].doubtful()
	}
	most = min(most, all)
	some, seen := make([]uint32, 0, most), 0
	for i := range l.entries {
		// The one at seen is taken where the multiples of all/most pass it.
		if l.entries[i].doubtful() == 1 {
			if len(some) < most && seen*most >= len(some)*all {
				some = append(some, uint32(i))
			}
			seen++
		}
	}
	return some
}

// doubtful returns 1 for a message that is believed and was not looked at.
func (e *entry) doubtful() int {
	if e.flags&(believed|dead) == believed {
		return 1
	}
	return 0
}

// most returns how many of the messages that are believed are looked at: all
// where nothing would remember that one of them lies, or where they may be old
// ones under new names; and so many that a storm of all shows in what was looked
// at, whose share is Storm.
func (s *Store) most(d *difference) int {
	switch {
	case s.Index == nil || d.suspicious():
		return math.MaxInt
	case s.Storm == 0:
		return enough
	}
	return max(enough, 2*maildrop.FewMessages*100/s.Storm)
}

// prove looks whether the open file of the message at index i can have the
// sizes that its name tells: it is as long as that says, and its last line has an
// end, which programs count differently where there is none. If not, it is
// counted, and ready says what was found of it. ErrVanished: it has not the size
// that was announced; the views to come announce what it has, and look at all of
// the others.
func (b *box) prove(ctx context.Context, i int, file *durable.File, octets int64) (ready bool, err error) {
	stored, _, _ := sizesOf(b.base(i))
	ends := octets == 0
	if !ends {
		ends, err = endsLine(file, octets)
	}
	if err != nil || ends && stored == octets {
		return b.index.Extra(i)&extraReady != 0, err
	}
	size, ready, err := b.count(ctx, i)
	if err != nil || size == b.Messages()[i].Size {
		return ready, err
	}
	if !b.doubted { // one is enough for the views to come, and each writes the index
		b.doubted = true
		b.found(i, size, ready)
	}
	return false, fmt.Errorf("%w: %s has %d octets on the wire", maildrop.ErrVanished, b.base(i), size)
}
