package maildir

import (
	"cmp"
	"slices"
	"strings"

	"kpopd/maildrop"
	"kpopd/maildrop/index"
)

// A difference is what distinguishes a listing from the one served last: which
// messages are not there any more, or not under their unique-id, and which are
// new, or have a new one.
type difference struct {
	last *index.Index
	gone []uint32 // of last
	came []uint32 // of the listing
	// changed is how many have their base name in both, but another unique-id.
	changed int
}

// recall gives the messages of l what the listing served last knows of them, by
// their base names, and tells the two apart; where there was none, nothing is
// said of what came.
func recall(l *listing, last *index.Index) *difference {
	d := &difference{last: last}
	if last.Len() == 0 {
		return d // nobody wonders at what came
	}
	i, old := 0, byBase(last)
	for _, at := range old {
		base := lastBase(last, at)
		time := timeOf(base)
		for i < len(l.entries) && l.compare(i, time, base) < 0 {
			d.came = append(d.came, uint32(i))
			i++
		}
		if i == len(l.entries) || l.compare(i, time, base) > 0 {
			d.gone = append(d.gone, at)
			continue
		}
		l.entries[i].recall(last.Entry(int(at)))
		if l.uid(base) != last.Messages()[at].UID {
			d.changed++
		}
		i++
	}
	for ; i < len(l.entries); i++ {
		d.came = append(d.came, uint32(i))
	}
	return d
}

// recall gives e what was known of it.
func (e *entry) recall(was index.Entry) {
	if !was.Sure && was.Extra&extraBelieved == 0 {
		return
	}
	e.size, e.mark, e.flags = was.Size, was.Mark, sized
	if was.Sure {
		e.flags |= sure
	}
	for _, k := range kept {
		if was.Extra&k.extra != 0 {
			e.flags |= k.flag
		}
	}
}

// compare compares the message at index i with a base name and its time, as
// byNumber does.
func (l *listing) compare(i int, time uint64, base string) int {
	e := &l.entries[i]
	return cmp.Or(cmp.Compare(e.time, time), strings.Compare(l.base(e), base))
}

func lastBase(last *index.Index, at uint32) string {
	return last.Name(int(at))[:last.Extra(int(at))&extraBase]
}

// byBase returns the indexes of x in the order of byNumber, which they are in
// unless a list of unique-ids says otherwise.
func byBase(x *index.Index) []uint32 {
	all := make([]uint32, x.Len())
	for i := range all {
		all[i] = uint32(i)
	}
	order := func(a, b uint32) int {
		x, y := lastBase(x, a), lastBase(x, b)
		return cmp.Or(cmp.Compare(timeOf(x), timeOf(y)), strings.Compare(x, y))
	}
	if !slices.IsSortedFunc(all, order) {
		slices.SortFunc(all, order)
	}
	return all
}

// storm returns ErrStorm where too many messages have other unique-ids than
// they had when they were served last.
func (s *Store) storm(l *listing, d *difference) error {
	return maildrop.Storm(d.renamed(l)+d.changed, d.last.Len(), s.Storm)
}

// A look is what a message is known by when all its names have changed.
type look struct {
	size int64
	mark uint32
}

// suspicious reports whether messages may have come back under other names.
func (d *difference) suspicious() bool {
	return len(d.gone) >= maildrop.FewMessages && len(d.came) >= maildrop.FewMessages
}

// renamed returns how many messages that are gone came back under another name:
// with the same size and beginning, but another unique-id. Mail that comes
// meanwhile has a header of its own, so that it does not count, even if all of
// it is of one size. Where not all that is gone was looked at once, what was
// stands for the rest, but no more came back than came.
func (d *difference) renamed(l *listing) int {
	if !d.suspicious() {
		return 0
	}
	lost, looked := make(map[look]int), 0
	uids := make(map[string]bool, len(d.gone))
	for _, at := range d.gone {
		e := d.last.Entry(int(at))
		uids[e.UID] = true
		if e.Mark != 0 {
			lost[look{e.Size, e.Mark}]++
			looked++
		}
	}
	n := 0
	for _, i := range d.came {
		e := &l.entries[i]
		at := look{e.size, e.mark}
		if e.mark == 0 || e.flags&dead != 0 || lost[at] == 0 {
			continue
		}
		lost[at]--
		if !uids[l.uid(l.base(e))] { // else it moved with its unique-id
			n++
		}
	}
	if n < maildrop.FewMessages { // too few to conclude from
		return n
	}
	return min(n*len(d.gone)/looked, len(d.came))
}
