package krb5

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// maxSubAuthorities is the most that a SID has ([MS-DTYP] §2.4.2).
const maxSubAuthorities = 15

// A sid is a security identifier of Windows' as [MS-DTYP] §2.4.2.1 writes it,
// such as "S-1-5-21-1-2-3-513". "" is none.
type sid string

// in returns the identifier of the account or group with a number in the domain
// s.
func (s sid) in(rid uint32) sid { return s + sid("-"+strconv.FormatUint(uint64(rid), 10)) }

// domain returns s without its last number.
func (s sid) domain() sid {
	i := strings.LastIndexByte(string(s), '-')
	if i < 0 {
		return ""
	}
	return s[:i]
}

// isDomain reports whether s is of the kind that domains and machines have, of
// which every number is their own.
func (s sid) isDomain() bool {
	return strings.HasPrefix(string(s), "S-1-5-21-") && strings.Count(string(s), "-") == 6
}

// sid reads a SID in its packet form ([MS-DTYP] §2.4.2.2): revision, count,
// authority in big endian, sub-authorities in little endian.
func (r *ndrReader) sid() sid {
	revision, n := r.u8(), int(r.u8())
	var authority [8]byte
	copy(authority[2:], r.take(6))
	if revision != 1 || n < 1 || n > maxSubAuthorities || 4*n > r.left() {
		r.fail()
		return ""
	}
	var b strings.Builder
	b.WriteString("S-1-")
	if a := binary.BigEndian.Uint64(authority[:]); a < 1<<32 {
		b.WriteString(strconv.FormatUint(a, 10))
	} else {
		fmt.Fprintf(&b, "0x%012x", a)
	}
	s := sid(b.String())
	for range n {
		s = s.in(r.u32())
	}
	return s
}

// rpcSID reads a SID behind a pointer ([MS-DTYP] §2.4.2.3): the count of
// sub-authorities comes before it once more.
func (r *ndrReader) rpcSID() sid {
	r.align(4)
	n := r.u32()
	if r.left() < 2 || n != uint32(r.b[r.off+1]) {
		r.fail()
		return ""
	}
	return r.sid()
}
