package mbox

import (
	"encoding/hex"
	"fmt"
	"strconv"
)

// UIDs says where unique-ids come from.
type UIDs string

// The sources of unique-ids. A message that lacks what is asked for, or that
// claims what another one has, gets one by digest.
const (
	// ByHeader takes what the header field X-UIDL says. The empty UIDs is this
	// one.
	ByHeader UIDs = "x-uidl"
	// ByUW takes the UIDVALIDITY of the file and the X-UID of the message, in 8
	// hexadecimal digits each, as UW's and Panda's ipop3d do.
	ByUW UIDs = "uw"
	// ByDigest looks at no field that anybody may have written.
	ByDigest UIDs = "digest"
	// ByPopa3d, ByTpop3d and ByQpopper compute what these servers showed, the
	// last where X-UIDL has nothing.
	ByPopa3d  UIDs = "popa3d"
	ByTpop3d  UIDs = "tpop3d"
	ByQpopper UIDs = "qpopper"
)

// AllUIDs are the sources, the default first.
var AllUIDs = []UIDs{ByHeader, ByUW, ByDigest, ByPopa3d, ByTpop3d, ByQpopper}

// uidOf returns the unique-id by digest of the n-th message, from 1, of those
// that have one digest.
func uidOf(d digest, n int) string {
	if n == 1 {
		return hex.EncodeToString(d[:])
	}
	return hex.EncodeToString(d[:]) + "-" + strconv.Itoa(n)
}

// claimed returns the unique-id that e itself claims; "": none.
func (u UIDs) claimed(e *entry, validity uint32) string {
	switch {
	case u == ByDigest, u == ByUW && (validity == 0 || e.xuid == 0):
		return ""
	case u == ByUW:
		return fmt.Sprintf("%08x%08x", validity, e.xuid)
	}
	return e.xuidl
}

// assign gives each entry its unique-id. What was served stays: entries are
// matched with those of the old index by digest and order. It is the old
// index's part to know which of several messages with one digest are gone.
func assign(entries []*entry, old *index, uids UIDs, validity uint32) {
	a := assigner{used: make(map[string]bool), last: make(map[digest]int)}
	served := old.served(entries)
	for _, e := range entries {
		if left := served[e.digest]; len(left) > 0 {
			e.uid, served[e.digest] = left[0], left[1:]
		}
		a.used[e.uid] = true
	}
	for _, g := range old.gone {
		a.used[g.uid] = true
	}
	for _, e := range entries {
		if e.uid == "" {
			a.assign(e, uids.claimed(e, validity))
		}
	}
}

// An assigner finds unique-ids that are not used.
type assigner struct {
	used map[string]bool
	last map[digest]int
}

func (a *assigner) assign(e *entry, claimed string) {
	if claimed != "" && !a.used[claimed] {
		e.uid = claimed
	}
	for n := a.last[e.digest] + 1; e.uid == ""; n++ {
		if uid := uidOf(e.digest, n); !a.used[uid] {
			e.uid = uid
		}
		a.last[e.digest] = n
	}
	a.used[e.uid] = true
}

// served returns the unique-ids that the index has for the digests of entries,
// in the order of the file, no more than there are entries. Where some are
// gone, those are that were to be removed.
func (x *index) served(entries []*entry) map[digest][]string {
	type room struct{ alive, doomed int }
	rooms := make(map[digest]room, len(entries))
	for _, e := range entries {
		r := rooms[e.digest]
		rooms[e.digest] = room{r.alive + 1, r.doomed + 1}
	}
	for _, e := range x.entries {
		if r := rooms[e.digest]; e.flags&doomed == 0 {
			rooms[e.digest] = room{r.alive, r.doomed - 1}
		}
	}
	served := make(map[digest][]string, len(entries))
	for _, e := range x.entries {
		r := rooms[e.digest]
		switch {
		case e.flags&doomed == 0 && r.alive > 0:
			r.alive--
		case e.flags&doomed != 0 && r.doomed > 0:
			r.doomed--
		default:
			continue
		}
		rooms[e.digest] = r
		served[e.digest] = append(served[e.digest], e.uid)
	}
	return served
}
