package maildir

import (
	"errors"
	"strings"
)

// A gathering is what a scan has found so far: for each file its folder, the
// length of its name, and the name. It is in pieces, so that nothing is copied
// as it grows.
type gathering struct {
	pieces   [][]byte
	messages int
	octets   int // of all names
}

// gatherSize is how large the pieces become. The first is small.
const gatherSize = 256 << 10

// add adds a file. No file system has names of more than 255 octets.
func (g *gathering) add(in folder, name []byte) {
	const before = 2
	if len(name) > 255 {
		return
	}
	last := len(g.pieces) - 1
	if last < 0 || cap(g.pieces[last])-len(g.pieces[last]) < before+len(name) {
		g.pieces = append(g.pieces, make([]byte, 0, min(gatherSize, 1<<10<<(2*len(g.pieces)))))
		last++
	}
	g.pieces[last] = append(append(g.pieces[last], byte(in), byte(len(name))), name...)
	g.messages++
	g.octets += len(name)
}

// errTooMany means more names than a listing has room for, some fifty million.
var errTooMany = errors.New("too many messages")

// listing returns what was found, in no order. The gathering is not used any
// more.
func (g *gathering) listing() (*listing, error) {
	const most = 1<<32 - 1<<20
	if g.octets > most {
		return nil, errTooMany
	}
	var names strings.Builder
	names.Grow(g.octets)
	l := &listing{entries: make([]entry, 0, g.messages)}
	for i, piece := range g.pieces {
		for len(piece) > 0 {
			name := piece[2 : 2+int(piece[1])]
			base := baseOfBytes(name)
			l.entries = append(l.entries, entry{
				time: timeOfBytes(base), at: uint32(names.Len()), length: piece[1], base: uint8(len(base)), in: folder(piece[0]),
			})
			names.Write(name)
			piece = piece[2+len(name):]
		}
		g.pieces[i] = nil
	}
	l.names = names.String()
	return l, nil
}
