package krb5

import (
	"encoding/binary"
	"time"
)

// WriteCCache writes a credentials cache that only its owner can read, in the
// FILE format of MIT Kerberos, version 4, in place of a file that is there.
// owner is its default principal. MIT's library uses a service ticket that it
// finds there without asking a KDC.
func WriteCCache(path string, owner Principal, tickets ...*Ticket) error {
	c := ccacheWriter{5, 4, 0, 0} // version 4, and a header without tags
	c.principal(owner)
	for _, t := range tickets {
		c.credential(t)
	}
	return writeSecret(path, c)
}

// A ccacheWriter is the file so far. Numbers are big-endian.
type ccacheWriter []byte

func (c *ccacheWriter) uint8(v uint8)   { *c = append(*c, v) }
func (c *ccacheWriter) uint16(v uint16) { *c = binary.BigEndian.AppendUint16(*c, v) }
func (c *ccacheWriter) uint32(v uint32) { *c = binary.BigEndian.AppendUint32(*c, v) }

func (c *ccacheWriter) data(b []byte) {
	c.uint32(uint32(len(b)))
	*c = append(*c, b...)
}

func (c *ccacheWriter) time(t time.Time) { c.uint32(uint32(t.Unix())) }

func (c *ccacheWriter) principal(p Principal) {
	c.uint32(uint32(p.name().NameType))
	c.uint32(uint32(len(p.Components)))
	c.data([]byte(p.Realm))
	for _, s := range p.Components {
		c.data([]byte(s))
	}
}

func (c *ccacheWriter) credential(t *Ticket) {
	c.principal(t.Client)
	c.principal(t.Service)
	c.uint16(uint16(t.Session.KeyType))
	c.data(t.Session.KeyValue)
	c.time(t.AuthTime)
	start := t.Start
	if start.IsZero() {
		start = t.AuthTime
	}
	c.time(start)
	c.time(t.End)
	c.uint32(0) // not renewable
	c.uint8(0)  // not for user to user
	c.uint32(t.Flags)
	c.uint32(0) // addresses
	c.uint32(0) // authorization data
	c.data(t.der)
	c.data(nil) // second ticket
}
