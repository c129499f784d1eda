package maildrop

import (
	"bytes"
	"io"
)

// A CRLFWriter writes a text to W with the line ends that it has on the wire, by
// the rule of [Measure]: what it makes is as long as that says of both, and what
// has them already is not changed. Close it behind the text.
type CRLFWriter struct {
	W io.Writer

	some bool // there was an octet
	last byte // the last one
	buf  []byte
}

// Write writes p's octets in one call of W's.
func (c *CRLFWriter) Write(p []byte) (int, error) {
	c.buf = c.buf[:0]
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			c.put(rest)
			break
		}
		c.put(rest[:i])
		if c.last != '\r' {
			c.buf = append(c.buf, '\r')
		}
		c.put(rest[i : i+1])
		rest = rest[i+1:]
	}
	if _, err := c.W.Write(c.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *CRLFWriter) put(p []byte) {
	if len(p) == 0 {
		return
	}
	c.buf = append(c.buf, p...)
	c.some, c.last = true, p[len(p)-1]
}

// Close ends the last line. It does not close W.
func (c *CRLFWriter) Close() error {
	if !c.some || c.last == '\n' {
		return nil
	}
	_, err := c.W.Write(crlf)
	return err
}
