package load

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"strconv"
	"time"
)

// A mailbox is what a client knows of the maildrop of its session.
type mailbox struct {
	sizes []message // by number - 1; wire is 0 of one that was not retrieved yet
	sums  []*Entry  // of the manifest, by number - 1
}

// stepRetr retrieves the messages of a session round and round.
func (c *client) stepRetr(user int, _ claim) error {
	if err := c.open(user); err != nil {
		return err
	}
	n := len(c.box.sizes)
	if n == 0 {
		return fmt.Errorf("%w: the maildrop of %s is empty", errContent, c.run.o.Users.Name(user))
	}
	at := -1
	err := c.converse(func() (flight, bool) {
		at++
		cl := c.run.claim()
		return flight{number: at%n + 1, retr: true, claim: cl}, cl != over
	})
	if err != nil {
		return err
	}
	return c.quit()
}

// stepDrain retrieves and deletes all messages of an account.
func (c *client) stepDrain(user int, _ claim) error {
	if err := c.open(user); err != nil {
		return err
	}
	at := -1
	err := c.converse(func() (flight, bool) {
		at++
		return flight{number: at/2 + 1, retr: at%2 == 0, claim: counted}, at < 2*len(c.box.sizes)
	})
	if err != nil {
		return err
	}
	return c.quit()
}

// open logs in and asks what is there.
func (c *client) open(user int) error {
	messages, err := c.begin(user)
	if err != nil {
		return err
	}
	c.box = mailbox{sizes: c.box.sizes[:0], sums: c.box.sums[:0]}
	err = c.each(list, func(at int, rest []byte) error {
		if int64(at) > messages {
			return fmt.Errorf("%w: STAT says %d messages, and LIST shows more", errContent, messages)
		}
		n, _, err := number(rest)
		c.box.sizes = append(c.box.sizes, message{octets: n})
		return err
	})
	if err == nil && int64(len(c.box.sizes)) != messages {
		err = fmt.Errorf("%w: STAT says %d messages, and LIST %d", errContent, messages, len(c.box.sizes))
	}
	if err == nil && c.run.o.Manifest != nil {
		err = c.expect(c.run.o.Manifest)
	}
	return err
}

// each sends LIST or UIDL and calls fn with the number and the rest of each
// line of its reply.
func (c *client) each(command []byte, fn func(number int, rest []byte) error) error {
	at := 0
	return c.lines(command, func(line []byte) error {
		n, rest, err := number(line)
		if at++; err == nil && n != int64(at) {
			err = fmt.Errorf("%w: message %d where %d is due", errContent, n, at)
		}
		if err != nil {
			return err
		}
		return fn(at, rest)
	})
}

// lines sends a command and calls fn with each line of its reply.
func (c *client) lines(command []byte, fn func(line []byte) error) error {
	if _, err := c.one(command); err != nil {
		return err
	}
	for {
		line, err := c.line()
		if err != nil || len(line) == 1 && line[0] == '.' {
			return err
		}
		if err := fn(line); err != nil {
			return err
		}
	}
}

// expect looks up in the manifest what each message should be.
func (c *client) expect(m *Manifest) error {
	c.box.sums = make([]*Entry, len(c.box.sizes))
	if len(m.byUID) == 0 {
		for i := range c.box.sums {
			c.box.sums[i] = m.byNumber[i+1]
		}
		return nil
	}
	return c.each(uidl, func(number int, uid []byte) error {
		if number > len(c.box.sums) {
			return fmt.Errorf("%w: UIDL shows more messages than LIST", errContent)
		}
		c.box.sums[number-1] = m.byUID[string(uid)]
		return nil
	})
}

// A flight is a command whose reply is awaited, RETR or DELE.
type flight struct {
	number int
	retr   bool
	claim  claim
	sent   time.Time
}

// converse sends the commands that next returns, and reads their replies. While
// no more than half of those that may be in flight are, it sends as many as
// there is room for with one write.
func (c *client) converse(next func() (flight, bool)) error {
	depth := c.run.depth()
	c.flights = c.flights[:0]
	for more := true; ; {
		if more && len(c.flights) <= depth/2 {
			c.out = c.out[:0]
			sent := time.Now()
			for more && len(c.flights) < depth {
				var f flight
				if f, more = next(); more {
					f.sent = sent
					c.flights = append(c.flights, f)
					c.out = appendCommand(c.out, f)
				}
			}
			if len(c.out) > 0 {
				if err := c.send(c.out); err != nil {
					return err
				}
			}
		}
		if len(c.flights) == 0 {
			return nil
		}
		f := c.flights[0]
		c.flights = c.flights[:copy(c.flights, c.flights[1:])]
		if err := c.land(f); err != nil {
			return err
		}
	}
}

func appendCommand(b []byte, f flight) []byte {
	if f.retr {
		b = append(b, "RETR "...)
	} else {
		b = append(b, "DELE "...)
	}
	return append(strconv.AppendInt(b, int64(f.number), 10), "\r\n"...)
}

// land reads the reply to a command.
func (c *client) land(f flight) error {
	if _, err := c.ok(); err != nil {
		return fmt.Errorf("message %d: %w", f.number, err)
	}
	if !f.retr {
		return nil
	}
	octets, err := c.retrieved(f.number)
	if err != nil {
		return fmt.Errorf("message %d: %w", f.number, err)
	}
	c.op = tally{octets: octets, verified: 1}
	c.record(f.claim, f.sent)
	return nil
}

// retrieved reads a message and compares it with what it should be: by its
// digest where there is one, else by its octets; where those were right before,
// by the octets that cross the wire.
func (c *client) retrieved(number int) (octets int64, err error) {
	known := &c.box.sizes[number-1]
	if c.run.o.Manifest != nil {
		return c.digested(number, known.octets)
	}
	if known.wire > 0 {
		return known.octets, c.same(*known)
	}
	m, err := c.message(nil)
	if err == nil && m.octets != known.octets {
		err = fmt.Errorf("%w: RETR sends %d octets, and LIST says %d", errContent, m.octets, known.octets)
	}
	known.wire = m.wire
	return m.octets, err
}

// digested reads a message and compares it with its entry in the manifest.
func (c *client) digested(number int, listed int64) (int64, error) {
	entry := c.box.sums[number-1]
	if entry == nil {
		return 0, fmt.Errorf("%w: the manifest does not know it", errContent)
	}
	if c.sum == nil {
		c.sum = sha256.New()
	}
	c.sum.Reset()
	m, err := c.message(c.sum)
	switch {
	case err != nil:
		return 0, err
	case m.octets != listed:
		return 0, fmt.Errorf("%w: RETR sends %d octets, and LIST says %d", errContent, m.octets, listed)
	case m.octets != entry.Octets || !entry.is(c.sum):
		return 0, fmt.Errorf("%w: it is not the message of the manifest", errContent)
	}
	return m.octets, nil
}

// is says whether sum is the entry's.
func (e *Entry) is(sum hash.Hash) bool {
	var b [sha256.Size]byte
	return string(sum.Sum(b[:0])) == string(e.sum[:])
}
