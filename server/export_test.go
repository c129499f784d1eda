package server

const (
	PieceSize = pieceSize
	ChunkSize = chunkSize
)

// WireText appends text's lines on the wire to out, taking chunk octets at a
// time, and returns it with their octets as WriteText counts them.
func WireText(out, text []byte, chunk int, ready bool) ([]byte, int64) {
	t := wireText{start: true, ready: ready}
	for len(text) > 0 {
		n := min(chunk, len(text))
		out = t.append(out, text[:n])
		text = text[n:]
	}
	return t.finish(out), t.octets
}
