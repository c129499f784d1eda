package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
)

// An input is what has been received and not read yet. It borrows its buffer
// when there is something to put into it: a client that is waited for costs none.
type input struct {
	from net.Conn
	raw  syscall.RawConn    // of from; nil: that is no socket
	try  func(uintptr) bool // receive, for raw
	err  error              // of receive
	one  [1]byte            // the first octet, where there is no raw
	buf  *[inputSize]byte   // nil: there is nothing
	r, w int                // what there is of buf
}

// errFull is a line that does not end in the buffer.
var errFull = errors.New("server: the buffer is full")

// reset goes on with another connection, of which nothing has been read.
func (in *input) reset(from net.Conn) {
	in.release()
	in.from, in.raw = from, nil
	if s, ok := from.(syscall.Conn); ok {
		in.raw, _ = s.SyscallConn() // an error: then by its Read
		in.try = in.receive
	}
}

func (in *input) borrow() {
	if in.buf == nil {
		in.buf = inputs.Get().(*[inputSize]byte)
	}
}

// release gives the buffer back, with all that was in it.
func (in *input) release() {
	if in.buf != nil {
		inputs.Put(in.buf)
		in.buf, in.r, in.w = nil, 0, 0
	}
}

// pending is what there is. It is valid until fill.
func (in *input) pending() []byte {
	if in.buf == nil {
		return nil
	}
	return in.buf[in.r:in.w]
}

// discard drops n of the octets that are pending.
func (in *input) discard(n int) { in.r += min(n, in.w-in.r) }

// fill receives more, and waits for it: errFull where there is no room.
func (in *input) fill() error {
	switch {
	case in.r == in.w:
		in.release()
	case in.r > 0:
		in.w = copy(in.buf[:], in.buf[in.r:in.w])
		in.r = 0
	case in.w == inputSize:
		return errFull
	}
	if in.raw == nil {
		return in.read()
	}
	if err := in.raw.Read(in.try); err != nil {
		return err
	}
	return in.err
}

// receive is what raw calls at once and whenever there may be something: false
// where there is not.
func (in *input) receive(fd uintptr) bool {
	in.borrow()
	n, err := syscall.Read(int(fd), in.buf[in.w:])
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), in.buf[in.w:])
	}
	in.w += max(n, 0)
	if in.w == 0 {
		in.release()
	}
	if n == 0 {
		err = io.EOF
	}
	in.err = err
	return err != syscall.EAGAIN
}

// read is fill from what is no socket: it waits for the first octet, and finds
// the others behind it.
func (in *input) read() error {
	p := in.one[:]
	if in.buf != nil {
		p = in.buf[in.w:]
	}
	n, err := in.from.Read(p)
	if n == 0 {
		return err
	}
	if in.buf == nil {
		in.borrow()
		in.buf[0] = in.one[0]
	}
	in.w += n
	return nil // one that comes with octets comes again
}

// line takes a line with its end; with an error, what there is of it. It is
// valid until fill. errFull: it goes on.
func (in *input) line() ([]byte, error) {
	for seen := 0; ; {
		part := in.pending()
		if i := bytes.IndexByte(part[seen:], '\n'); i >= 0 {
			in.discard(seen + i + 1)
			return part[:seen+i+1], nil
		}
		seen = len(part)
		if err := in.fill(); err != nil {
			part = in.pending()
			in.discard(len(part))
			return part, err
		}
	}
}
