package index

import "hash/crc32"

// Decode is what tests of the file need.
var Decode = decode

// Encode returns the file of x.
func Encode(name string, x *Index) []byte {
	var rest []byte
	header, err := encode(name, x, func(piece []byte) error {
		rest = append(rest, piece...)
		return nil
	})
	if err != nil || headerSize+len(rest) != x.size(name) {
		panic("an index is not as large as it says")
	}
	return append(header, rest...)
}

// Octets returns how many octets of indexes are in memory.
func (c *Cache) Octets() int64 { return c.octets }

// Seal makes the check of a file right.
func Seal(b []byte) {
	if len(b) >= headerSize {
		le.PutUint32(b[len(magic):], crc32.Checksum(b[checkEnd:], castagnoli))
	}
}
