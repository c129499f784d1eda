package server

import (
	"io"
	"net"
	"syscall"
)

// A fileText is a text that is what remains of a file, as a store hands it out:
// maildrop.File.
type fileText interface {
	io.Reader
	// Fd is the file's descriptor, at the position where the text goes on.
	Fd() uintptr
	// Len is how many octets are left.
	Len() int64
	// Skip says that the next n have been taken from Fd.
	Skip(n int64)
}

const (
	// sendfileFrom is the size from which sendfile(2) is worth its calls. Of
	// 64 KiB it takes as long as a read and a write.
	sendfileFrom = 256 << 10
	sendfileMax  = 4 << 20 // asked for at a time
	// lastOctets of a text are read, to see that they end its last line, and go
	// out together with the final dot.
	lastOctets = 2
)

// sendable returns r where sendfile(2) may send it: as large as announced now,
// in wire form, and nothing between us and the socket that wants to see it.
func (c *Conn) sendable(r io.Reader, size int64, wireReady bool) fileText {
	if !wireReady || size < sendfileFrom || c.conn != c.raw {
		return nil
	}
	if _, ok := c.raw.(syscall.Conn); !ok {
		return nil
	}
	if f, ok := r.(fileText); ok && f.Len() == size {
		return f
	}
	return nil
}

// sendFile sends f, but for its last octets, by sendfile(2). What it leaves is
// for the caller to read and to write, who meets the error for which it was
// left, if any: the end of the file, its own error or the socket's, or a file
// system that knows no sendfile.
func (c *Conn) sendFile(t *wireText, f fileText) {
	socket, err := c.raw.(syscall.Conn).SyscallConn()
	if err != nil {
		return
	}
	c.cork(socket, 1) // what is buffered and the file share segments
	defer c.cork(socket, 0)
	c.Flush()
	for f.Len() > lastOctets && c.err == nil {
		n := c.sendSome(socket, f)
		if n == 0 {
			return
		}
		f.Skip(n)
		t.octets, t.some, t.start = t.octets+n, true, false
	}
}

// cork holds partial segments back, or sends them. Only TCP has that.
func (c *Conn) cork(socket syscall.RawConn, on int) {
	if _, ok := c.raw.RemoteAddr().(*net.TCPAddr); !ok {
		return
	}
	socket.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CORK, on) })
}

// sendSome sends some of f: what the socket takes, within the time that a
// client gets for a buffer of [Conn.Flush] where it takes less than that. 0: the
// file has ended, or a call failed.
func (c *Conn) sendSome(socket syscall.RawConn, f fileText) (sent int64) {
	most := f.Len() - lastOctets
	c.raw.SetWriteDeadline(c.writeDeadline())
	err := socket.Write(func(fd uintptr) (done bool) {
		for sent < min(most, flushAt) {
			n, err := syscall.Sendfile(int(fd), int(f.Fd()), nil, int(min(most-sent, sendfileMax)))
			switch {
			case err == syscall.EAGAIN:
				return false // until the socket takes more
			case err == syscall.EINTR:
			case err != nil || n == 0:
				return true
			default:
				sent += int64(n)
			}
		}
		return true
	})
	if err != nil {
		c.err = c.writeError(err)
	}
	return sent
}
