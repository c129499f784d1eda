package krb5

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode"
	"unicode/utf16"
)

// errNDR means that a structure of Windows' does not hold what it announces.
var errNDR = errors.New("krb5: malformed structure")

// An ndrReader reads little endian fields of b in order, aligned from the
// beginning of b. After the first one that is not there it reads zeros only,
// and err is set. It allocates nothing by what a field announces.
type ndrReader struct {
	b   []byte
	off int
	err error
}

func (r *ndrReader) fail() { r.err = errNDR }

func (r *ndrReader) left() int { return len(r.b) - r.off }

// take returns the next n octets, nil if they are not there.
func (r *ndrReader) take(n int) []byte {
	if r.err != nil || n < 0 || n > r.left() {
		r.fail()
		return nil
	}
	b := r.b[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

// align skips to a multiple of n, a power of two.
func (r *ndrReader) align(n int) { r.take(-r.off & (n - 1)) }

func (r *ndrReader) u8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *ndrReader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *ndrReader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *ndrReader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// array begins a conformant array of n elements of size octets each
// ([C706] §14.3.3.2) and returns n, or 0 if they are not all there.
func (r *ndrReader) array(n uint32, size int) int {
	r.align(4)
	if r.u32() != n || int64(n)*int64(size) > int64(r.left()) {
		r.fail()
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// An ndrPointer is a unique pointer inside a structure ([C706] §14.3.10): what
// it points to comes behind the structure.
type ndrPointer bool

func (r *ndrReader) pointer() ndrPointer { return r.u32() != 0 }

// An ndrString is the fixed part of an RPC_UNICODE_STRING ([MS-DTYP] §2.3.10).
type ndrString struct {
	length, max uint16 // in octets
	at          ndrPointer
}

func (r *ndrReader) unicodeString() ndrString {
	s := ndrString{length: r.u16(), max: r.u16()}
	s.at = r.pointer()
	if s.length%2 != 0 || s.length > s.max || s.length > 0 && !bool(s.at) {
		r.fail()
	}
	return s
}

// text reads the characters of s, a conformant and varying array
// ([C706] §14.3.3.4).
func (r *ndrReader) text(s ndrString) string {
	if !s.at {
		return ""
	}
	r.align(4)
	most, offset, actual := r.u32(), r.u32(), r.u32()
	if most < actual || offset != 0 || actual != uint32(s.length)/2 {
		r.fail()
	}
	return r.utf16(int(s.length))
}

// utf16 reads n octets of UTF-16. What is no character is an error.
func (r *ndrReader) utf16(n int) string {
	b := r.take(n)
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	text := string(utf16.Decode(units))
	if n%2 != 0 || strings.ContainsRune(text, unicode.ReplacementChar) {
		r.fail()
		return ""
	}
	return text
}
