package index

import "hash/crc32"

// What tests of the file and of memory need.
var (
	Encode = encode
	Decode = decode
)

// Octets returns how many octets of indexes are in memory.
func (c *Cache) Octets() int64 { return c.octets }

// Seal makes the check of a file right.
func Seal(b []byte) {
	if len(b) >= headerSize {
		le.PutUint32(b[len(magic):], crc32.Checksum(b[checkEnd:], castagnoli))
	}
}
