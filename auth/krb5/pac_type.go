package krb5

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Types of the buffers in a PAC that are read ([MS-PAC] §2.4).
const (
	pacLogonInfo      = 1
	pacServerChecksum = 6
	pacKDCChecksum    = 7
	pacClientInfo     = 10
	pacUPNInfo        = 12
	pacRequestor      = 18
)

// maxPACBuffers is more than there are types.
const maxPACBuffers = 64

var errPAC = errors.New("krb5: malformed PAC")

// A pacBuffer is where a buffer lies in its PAC.
type pacBuffer struct {
	kind       uint32
	start, end int
}

// A pacType is a PACTYPE ([MS-PAC] §2.3): buffers of different types that lie
// inside it and apart. What is in them is not looked at.
type pacType struct {
	raw     []byte
	buffers []pacBuffer // by their start
}

// parsePACType reads the header of a PAC.
func parsePACType(raw []byte) (*pacType, error) {
	r := ndrReader{b: raw}
	n, version := r.u32(), r.u32()
	if r.err != nil || version != 0 || n > maxPACBuffers {
		return nil, fmt.Errorf("%w: %d buffers, version %d", errPAC, n, version)
	}
	p := &pacType{raw: raw}
	for range n {
		kind, size, start := r.u32(), uint64(r.u32()), r.u64()
		length := uint64(len(raw))
		if r.err != nil || start > length || size > length-start || start%8 != 0 {
			return nil, fmt.Errorf("%w: buffer of type %d", errPAC, kind)
		}
		p.buffers = append(p.buffers, pacBuffer{kind, int(start), int(start + size)})
	}
	return p, p.check(r.off)
}

// check demands that the buffers lie behind the header, which ends at end, and
// apart, and that each type is there once.
func (p *pacType) check(end int) error {
	slices.SortFunc(p.buffers, func(a, b pacBuffer) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end))
	})
	known := map[uint32]bool{}
	for _, b := range p.buffers {
		if b.start < end || known[b.kind] {
			return fmt.Errorf("%w: buffer of type %d", errPAC, b.kind)
		}
		known[b.kind] = true
		end = b.end
	}
	return nil
}

// find returns where the buffer of a type lies.
func (p *pacType) find(kind uint32) (pacBuffer, bool) {
	i := slices.IndexFunc(p.buffers, func(b pacBuffer) bool { return b.kind == kind })
	if i < 0 {
		return pacBuffer{}, false
	}
	return p.buffers[i], true
}

// reader reads the buffer of a type, which there may not be.
func (p *pacType) reader(kind uint32) (*ndrReader, bool) {
	b, ok := p.find(kind)
	return &ndrReader{b: p.raw[b.start:b.end:b.end]}, ok
}
