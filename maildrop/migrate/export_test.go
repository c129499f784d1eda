package migrate

import (
	"net"
	"time"
)

// Session is a client that is logged in at the other end of conn.
func Session(conn net.Conn, timeout time.Duration, pipelining bool) *Client {
	c := &Client{timeout: timeout, capa: map[string]bool{"PIPELINING": pipelining}}
	c.use(conn)
	return c
}
