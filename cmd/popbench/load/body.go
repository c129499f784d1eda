package load

import (
	"bytes"
	"fmt"
	"hash"
)

// end is what a reply of many lines ends with (RFC 1939 §3); its first two
// octets end the line before.
var end = []byte("\r\n.\r\n")

// rows reads a reply of many lines whose status line has been read, and counts
// them. Nothing else is awaited from the server, so that what ends with end is
// the end, for within a reply the dot would have a second one.
func (c *conn) rows() (lines int, octets int64, err error) {
	last := [5]byte{3: '\r', 4: '\n'} // of the status line
	for {
		block := c.buf[c.r:c.w]
		lines += bytes.Count(block, []byte("\n"))
		octets += int64(len(block))
		c.r = c.w
		if last = tail(last, block); bytes.Equal(last[:], end) {
			return lines - 1, octets - 3, nil
		}
		if err := c.fill(); err != nil {
			return 0, 0, err
		}
	}
}

// tail returns the last octets of what came before and a block.
func tail(last [5]byte, block []byte) [5]byte {
	if n := len(block); n < len(last) {
		copy(last[:], last[n:])
		copy(last[len(last)-n:], block)
		return last
	}
	return [5]byte(block[len(block)-len(last):])
}

// A message is what came of one: its octets, as LIST counts them, and as they
// cross the wire, where dots are doubled.
type message struct{ octets, wire int64 }

// message reads a message whose status line has been read, to its end, and
// writes it without the doubled dots to sum, unless that is nil.
func (c *conn) message(sum hash.Hash) (m message, err error) {
	start := true // of a line
	for {
		block := c.buf[c.r:c.w]
		n, done, next := scan(block, start, sum)
		m.octets += n.octets
		m.wire += n.wire
		c.r += int(n.wire)
		if start = next; done {
			c.r += 3
			return m, nil
		}
		if err := c.fill(); err != nil {
			return m, err
		}
	}
}

// scan goes through a block of a message, of which it leaves what needs more
// octets to be understood. start: the block, and then what is left, is at the
// beginning of a line.
func scan(block []byte, start bool, sum hash.Hash) (n message, done, next bool) {
	at := 0
	for {
		if start {
			switch {
			case len(block)-at < 3: // it may be a dot, or the end
				n.wire = int64(at)
				return n, false, true
			case block[at] != '.':
			case block[at+1] == '\r' && block[at+2] == '\n':
				n.wire = int64(at)
				return n, true, true
			default:
				at++ // a doubled dot (RFC 1939 §3)
			}
			start = false
		}
		from := at
		i := bytes.Index(block[at:], []byte("\r\n."))
		if i >= 0 {
			at, start = at+i+2, true
		} else {
			at, start = rest(block, at)
		}
		n.octets += int64(at - from)
		if sum != nil {
			sum.Write(block[from:at])
		}
		if i < 0 {
			n.wire = int64(at)
			return n, false, start
		}
	}
}

// rest returns how far a block is understood whose lines from at on begin with
// no dot, and whether that is the end of one.
func rest(block []byte, at int) (to int, ends bool) {
	if left := block[at:]; bytes.HasSuffix(left, []byte("\r\n")) {
		return len(block), true
	} else if bytes.HasSuffix(left, []byte("\r")) {
		return len(block) - 1, false
	}
	return len(block), false
}

// same reads a message that crossed the wire before, in m.wire octets. It is
// looked at no closer than that it ends there.
func (c *conn) same(m message) error {
	last := [5]byte{3: '\r', 4: '\n'}
	for left := m.wire + 3; left > 0; {
		if c.r == c.w {
			if err := c.fill(); err != nil {
				return err
			}
		}
		block := c.buf[c.r:min(int64(c.w), int64(c.r)+left)]
		c.r += len(block)
		left -= int64(len(block))
		last = tail(last, block)
	}
	if !bytes.Equal(last[:], end) {
		return fmt.Errorf("%w: it had %d octets before, and has another number now", errContent, m.octets)
	}
	return nil
}
