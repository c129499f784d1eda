package krb5

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// The errors of a keytab's parser. They say where, never what: the octets of a
// keytab are secrets.
var errKeytabFormat = errors.New("krb5: not a keytab of version 1 or 2")

// parseKeytab reads the keys of a keytab file (MIT Kerberos, "The Kerberos V5
// keytab file format"). Keys of enctypes that this package does not implement
// are left out; a key whose length does not fit its enctype fails the file.
func parseKeytab(b []byte) ([]Key, error) {
	if len(b) < 2 || b[0] != 5 || b[1] != 1 && b[1] != 2 {
		return nil, errKeytabFormat
	}
	r := keytabReader{order: binary.BigEndian}
	if b[1] == 1 {
		// Version 1 has the byte order of the machine that wrote it.
		r = keytabReader{order: binary.NativeEndian, v1: true}
	}
	var keys []Key
	for i, rest := 1, b[2:]; len(rest) >= 4; i++ {
		size := int32(r.order.Uint32(rest))
		rest = rest[4:]
		if size == 0 {
			break // the padding of a file that was cut short on purpose
		}
		n := max(int64(size), -int64(size))
		if n > int64(len(rest)) {
			return nil, fmt.Errorf("krb5: keytab entry %d is truncated", i)
		}
		if size > 0 { // else a hole, where an entry was deleted
			k, err := r.entry(rest[:n])
			if err != nil {
				return nil, fmt.Errorf("krb5: keytab entry %d: %w", i, err)
			}
			if keyLength(k.Etype) != 0 {
				keys = append(keys, k)
			}
		}
		rest = rest[n:]
	}
	return keys, nil
}

// A keytabReader takes apart the entries of a keytab. After a read beyond the
// end all others yield nothing, and failed says so.
type keytabReader struct {
	order  binary.ByteOrder
	v1     bool
	b      []byte
	failed bool
}

func (r keytabReader) entry(b []byte) (Key, error) {
	r.b = b
	components := int(r.uint16())
	if r.v1 {
		components-- // version 1 counts the realm
	}
	k := Key{}
	k.Principal.Realm = r.text()
	for range max(components, 0) {
		if r.failed {
			break
		}
		k.Principal.Components = append(k.Principal.Components, r.text())
	}
	if !r.v1 {
		r.next(4) // name type
	}
	k.Created = time.Unix(int64(r.uint32()), 0)
	if v := r.next(1); v != nil {
		k.Kvno, k.narrow = uint32(v[0]), true
	}
	k.Etype = int32(int16(r.uint16()))
	k.secret = append([]byte(nil), r.next(int(r.uint16()))...)
	if r.failed {
		return Key{}, errors.New("it is truncated")
	}
	// A version of 32 bits may follow; 0 means that it does not.
	if len(r.b) >= 4 {
		if v := r.uint32(); v != 0 {
			k.Kvno, k.narrow = v, false
		}
	}
	return k, k.check()
}

// check refuses keys that could not have been meant.
func (k Key) check() error {
	if err := k.Principal.Valid(); err != nil {
		return err
	}
	if n := keyLength(k.Etype); n != 0 && n != len(k.secret) {
		return fmt.Errorf("%w: %s has %d octets", errKeyLength, k, len(k.secret))
	}
	return nil
}

func (r *keytabReader) next(n int) []byte {
	if r.failed || n > len(r.b) {
		r.failed = true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *keytabReader) uint16() uint16 {
	if b := r.next(2); b != nil {
		return r.order.Uint16(b)
	}
	return 0
}

func (r *keytabReader) uint32() uint32 {
	if b := r.next(4); b != nil {
		return r.order.Uint32(b)
	}
	return 0
}

func (r *keytabReader) text() string { return string(r.next(int(r.uint16()))) }

// appendKeytab writes keys as a keytab of version 2.
func appendKeytab(dst []byte, keys []Key) []byte {
	be := binary.BigEndian
	text := func(b []byte, s string) []byte { return append(be.AppendUint16(b, uint16(len(s))), s...) }
	dst = append(dst, 5, 2)
	for _, k := range keys {
		e := be.AppendUint16(nil, uint16(len(k.Principal.Components)))
		e = text(e, k.Principal.Realm)
		for _, c := range k.Principal.Components {
			e = text(e, c)
		}
		e = be.AppendUint32(e, uint32(k.Principal.name().NameType))
		e = be.AppendUint32(e, uint32(k.Created.Unix()))
		e = append(e, byte(k.Kvno))
		e = be.AppendUint16(e, uint16(k.Etype))
		e = text(e, string(k.secret))
		e = be.AppendUint32(e, k.Kvno)
		dst = append(be.AppendUint32(dst, uint32(len(e))), e...)
	}
	return dst
}
