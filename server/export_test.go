package server

import "slices"

const (
	TextSize  = textSize
	LeastRead = leastRead
	LargeMost = largeMost
)

// WireText appends text's lines on the wire to out, taking chunk octets at a
// time as [Conn.WriteText] does, and returns it with their octets as that counts
// them.
func WireText(out, text []byte, chunk int, ready bool) ([]byte, int64) {
	t := wireText{start: true, ready: ready}
	for len(text) > 0 {
		n := min(chunk, len(text))
		out = slices.Grow(out, 2*(n+cacheLine))
		room := farHalf(out)
		room = room[len(room)-n:]
		copy(room, text[:n])
		out = t.append(out, room)
		text = text[n:]
	}
	return t.finish(out), t.octets
}
