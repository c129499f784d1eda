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
	for len(c.in.pending()) == 0 {
		if err := c.beforeWait(); err != nil {
			return nil, err
		}
		if err := c.in.fill(); err != nil {
			return nil, c.readError(err)
		}
	}
	return c.in.pending(), nil
}

// Discard drops n of the octets that Peek returned.
func (c *Conn) Discard(n int) { c.in.discard(n) }
