package server

// Idle says whether the client has nothing under way that would be lost if the
// connection were cut now. Shutdown cuts those that are idle instead of waiting
// for them. It reports false where the server stops already: the connection
// ends itself then. A connection is not idle unless it says so.
func (c *Conn) Idle(idle bool) bool {
	c.idle.Store(idle)
	return !idle || !c.srv.closing.Load()
}

// Peek returns the octets that have come and were not read yet, at least one: it
// waits for them like Read. They are valid until the next read.
func (c *Conn) Peek() ([]byte, error) {
	if c.in.Buffered() == 0 {
		if err := c.beforeWait(); err != nil {
			return nil, err
		}
		if _, err := c.in.Peek(1); err != nil {
			return nil, c.readError(err)
		}
	}
	return c.in.Peek(c.in.Buffered())
}

// Discard drops n of the octets that Peek returned.
func (c *Conn) Discard(n int) { c.in.Discard(n) }
