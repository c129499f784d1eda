package krb5

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// apReqShape is an element with the tag of an AP-REQ and n octets in it.
func apReqShape(n int) []byte {
	return append(appendDERLength([]byte{0x6e}, n), make([]byte, n)...)
}

func TestInitialToken(t *testing.T) {
	for _, n := range []int{0, 1, 100, 127, 128, 255, 256, 700, 65535, 65536, 90_000} {
		apReq := apReqShape(n)
		got, err := parseInitialToken(frameToken(tokAPReq, apReq))
		if err != nil || !bytes.Equal(got, apReq) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

func TestInitialTokenRefuses(t *testing.T) {
	good := frameToken(tokAPReq, apReqShape(3))
	edit := func(from, to string) []byte { return bytes.Replace(good, []byte(from), []byte(to), 1) }
	tests := map[string][]byte{
		"empty":              {},
		"tag only":           {0x60},
		"trailing octet":     append(bytes.Clone(good), 0),
		"cut":                good[:len(good)-1],
		"length too long":    edit("\x60\x12", "\x60\x13"),
		"length not minimal": edit("\x60\x12", "\x60\x81\x12"),
		"leading zero":       edit("\x60\x12", "\x60\x82\x00\x12"),
		"indefinite":         edit("\x60\x12", "\x60\x80"),
		"huge length":        edit("\x60\x12", "\x60\x84\xff\xff\xff\xff"),
		"huge length field":  edit("\x60\x12", "\x60\x89\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		"not framed":         apReqShape(3),
		"other OID":          edit("\x01\x02\x02", "\x01\x02\x03"),
		"SPNEGO":             []byte("\x60\x08\x06\x06\x2b\x06\x01\x05\x05\x02"),
		"AP-REP":             edit("\x01\x00\x6e", "\x02\x00\x6e"),
		"no AP-REQ":          edit("\x01\x00\x6e", "\x01\x00\x6f"),
		"inner trailing":     frameToken(tokAPReq, append(apReqShape(3), 0)),
		"inner cut":          frameToken(tokAPReq, apReqShape(3)[:4]),
		"without body":       frameToken(tokAPReq, nil),
		"wrap token":         cfxHeader{}.append(nil),
	}
	for name, token := range tests {
		if bytes.Equal(token, good) {
			t.Errorf("%s: the test changes nothing", name)
		}
		if _, err := parseInitialToken(token); !errors.Is(err, errGSSToken) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// gssSum makes a checksum of type 0x8003.
func gssSum(bindings [16]byte, flags uint32, more ...byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 16)
	b = append(b, bindings[:]...)
	b = binary.LittleEndian.AppendUint32(b, flags)
	return append(b, more...)
}

func TestGSSChecksum(t *testing.T) {
	bindings := [16]byte{1, 2, 15: 16}
	long := append([]byte{1, 0, 0xff, 0xff}, make([]byte, 0xffff)...)
	for name, b := range map[string][]byte{
		"plain":                 gssSum(bindings, 0x13e),
		"extensions":            gssSum(bindings, 0x13e, 0, 0, 0, 1, 0, 0, 0, 0),
		"delegation":            gssSum(bindings, 0x13f, 1, 0, 2, 0, 0x76, 0),
		"delegation, then more": gssSum(bindings, 0x13f, 1, 0, 1, 0, 0x76, 9, 9),
		"delegation of nothing": gssSum(bindings, 0x13f, 1, 0, 0, 0),
		"long delegation":       gssSum(bindings, 0x13f, long...),
	} {
		sum, err := parseGSSChecksum(b)
		if err != nil || sum.bindings != bindings || sum.flags != binary.LittleEndian.Uint32(b[20:]) {
			t.Errorf("%s: %+v, error %v", name, sum, err)
		}
	}
	for name, b := range map[string][]byte{
		"empty":             {},
		"cut":               gssSum(bindings, 0x13e)[:23],
		"big endian":        append([]byte{0, 0, 0, 16}, make([]byte, 20)...),
		"no delegation":     gssSum(bindings, 0x13f),
		"delegation cut":    gssSum(bindings, 0x13f, 1, 0, 2, 0, 0x76),
		"unknown option":    gssSum(bindings, 0x13f, 2, 0, 0, 0),
		"length beyond all": gssSum(bindings, 0x13f, 1, 0, 0xff, 0xff),
	} {
		if _, err := parseGSSChecksum(b); !errors.Is(err, errGSSChecksum) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func FuzzInitialToken(f *testing.F) {
	f.Add(frameToken(tokAPReq, apReqShape(3)))
	f.Add(frameToken(tokAPReq, apReqShape(300)))
	f.Fuzz(func(t *testing.T, token []byte) {
		apReq, err := parseInitialToken(token)
		// Strict DER has one spelling.
		if err == nil && !bytes.Equal(frameToken(tokAPReq, apReq), token) {
			t.Fatalf("%x is another spelling", token)
		}
	})
}

func FuzzGSSChecksum(f *testing.F) {
	f.Add(gssSum([16]byte{}, 0x13e))
	f.Add(gssSum([16]byte{1}, 0x13f, 1, 0, 1, 0, 0x76))
	f.Fuzz(func(t *testing.T, b []byte) {
		sum, err := parseGSSChecksum(b)
		if err == nil && !bytes.HasPrefix(b, gssSum(sum.bindings, sum.flags)) {
			t.Fatalf("%x read as %+v", b, sum)
		}
	})
}
