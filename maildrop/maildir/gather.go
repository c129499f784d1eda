package maildir

import (
	"errors"
	"strings"
)

// A gathering is what a scan has found: for each file its folder, the length of
// its name, and the name. It is in pieces, so that nothing is copied as it grows,
// nor afterwards.
type gathering struct {
	pieces   []*strings.Builder
	before   int // pieces that the listing has already
	messages int
}

// A piece has at most so many octets. The first few are smaller.
const (
	pieceBits = 18
	pieceSize = 1 << pieceBits
)

// add adds a file, and returns where a listing has its name, which has at most
// maxName octets.
func (g *gathering) add(in folder, name []byte) (at uint32) {
	const header = 2
	last := len(g.pieces) - 1
	if last < 0 || min(g.pieces[last].Cap(), pieceSize)-g.pieces[last].Len() < header+len(name) {
		last++
		g.pieces = append(g.pieces, new(strings.Builder))
		g.pieces[last].Grow(1 << min(pieceBits, 10+2*last))
	}
	piece := g.pieces[last]
	piece.WriteByte(byte(in))
	piece.WriteByte(byte(len(name)))
	at = nameAt(g.before+last, piece.Len())
	piece.Write(name)
	g.messages++
	return at
}

// nameAt is where a name is: which piece, and where in that.
func nameAt(piece, at int) uint32 { return uint32(piece)<<pieceBits | uint32(at) }

// part returns some octets of the names.
func (l *listing) part(at uint32, length uint8) string {
	piece, at := l.names[at>>pieceBits], at&(pieceSize-1)
	return piece[at : at+uint32(length)]
}

// errTooMany means more names than a listing has room for, some fifty million.
var errTooMany = errors.New("too many messages")

// take takes the names of a gathering, which is not used any more.
func (l *listing) take(g *gathering) error {
	for _, piece := range g.pieces {
		l.names = append(l.names, piece.String())
	}
	if len(l.names) > 1<<(32-pieceBits) {
		return errTooMany
	}
	return nil
}

// listing returns what was found, in no order.
func (g *gathering) listing() (*listing, error) {
	l := &listing{entries: make([]entry, 0, g.messages)}
	if err := l.take(g); err != nil {
		return nil, err
	}
	for i, piece := range l.names {
		for at := 0; at < len(piece); {
			in, length := folder(piece[at]), piece[at+1]
			at += 2
			base := baseOf(piece[at : at+int(length)])
			l.entries = append(l.entries, entry{
				time: timeOf(base), at: nameAt(i, at), length: length, base: uint8(len(base)), in: in,
			})
			at += int(length)
		}
	}
	return l, nil
}
