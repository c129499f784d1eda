package mbox

import (
	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// storm returns [maildrop.ErrStorm] where too many of the entries have other
// unique-ids than they had when they were served last.
func (s *Store) storm(entries []*entry, last []entry) error {
	type known struct {
		digest
		uid string
	}
	had := make(map[known]bool, len(last))
	left := make(map[digest]int, len(last)) // that have not kept theirs
	were := 0
	for i := range last {
		if e := &last[i]; e.flags&(pseudo|doomed) == 0 {
			had[known{e.digest, e.uid}] = true
			left[e.digest]++
			were++
		}
	}
	var others []digest
	for _, e := range entries {
		if had[known{e.digest, e.uid}] {
			left[e.digest]--
		} else if e.flags&pseudo == 0 {
			others = append(others, e.digest)
		}
	}
	changed := 0
	for _, d := range others {
		if left[d] > 0 {
			left[d]--
			changed++
		}
	}
	return maildrop.Storm(changed, were, s.Storm)
}

// AcceptUIDs forgets which unique-ids the messages of the mailbox of name were
// served with, so that the next session is served whatever they are then. Which
// ones are not given out again it does not forget. It reports whether anything
// was remembered. Nobody else may have the maildrop.
func (s *Store) AcceptUIDs(name string) (bool, error) {
	spot, err := s.spot(name, (*durable.Dir).Open)
	if missing(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer spot.close()
	b, err := readFile(spot.state, spot.key+".index")
	if err != nil || b == nil {
		return false, err
	}
	x, err := decodeIndex(b)
	if err != nil || x.made == "" {
		return false, nil // such a one is not used
	}
	return true, spot.writeIndex(&index{gone: x.gone}, true)
}
