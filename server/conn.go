package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// The errors with which a connection ends early.
var (
	// ErrLineTooLong is a line beyond its limit. It has been dropped to its
	// end, and the connection goes on.
	ErrLineTooLong = errors.New("server: line too long")
	// ErrNoMemory is a long line for which [Limits] leaves no memory. It has
	// been dropped to its end, and the connection goes on.
	ErrNoMemory = errors.New("server: no memory left for a long line")
	// ErrEndlessLine is a line whose end does not come even then. The
	// connection has been cut.
	ErrEndlessLine = errors.New("server: line without an end")
	// ErrLoginTimeout means that nobody logged in within LoginTimeout.
	ErrLoginTimeout = errors.New("server: nobody logged in in time")
	// ErrIdleTimeout is the autologout of RFC 1939 §3.
	ErrIdleTimeout = errors.New("server: idle for too long")
	// ErrSlowReader means that a client did not take what it asked for.
	ErrSlowReader = errors.New("server: client does not read")
)

const (
	inputSize  = 4 << 10  // the reader's buffer
	discardMax = 64 << 10 // of a line that is too long, before we hang up
	lingerMax  = 64 << 10 // read and dropped behind a last word
	lineFactor = 3        // a long line, what its handler takes it apart into, and some more

	// lastWord is how long after the time for logging in a client may still
	// take the reply that tells it so.
	lastWord = 5 * time.Second
)

// A Conn is one client's connection. One goroutine owns it at a time, see Deep;
// only Abort may be called from others.
//
// Output is buffered and goes out when the Conn is about to wait for input, so
// that pipelining costs nothing (RFC 2449 §6.6). Errors of output are sticky
// and surface at the next read.
type Conn struct {
	// ID names the connection in logs and in the list of sessions.
	ID string
	// Addr is the client's address, Local ours. Not valid: not an IP socket.
	Addr, Local netip.AddrPort
	// Unix: it is a Unix socket.
	Unix bool

	srv      *Server
	endpoint *Endpoint
	log      *slog.Logger
	raw      net.Conn // the socket
	conn     net.Conn // raw, or what protects it, on records
	records  *records // nil: nothing protects it
	in       input
	line     []byte  // a line that did not fit in's buffer
	out      *[]byte // from a pool; nil: nothing is buffered
	large    bool    // out counts as a large one
	err      error   // of output, sticky
	cancel   context.CancelFunc
	aborted  atomic.Pointer[error] // the cause of Abort

	start       time.Time
	loggedIn    atomic.Bool
	idle        atomic.Bool // and may be cut, although somebody has logged in
	linger      bool
	reserved    int64  // of the server's memory
	user        string // whose connection it counts as
	occupies    bool   // it does
	tlsState    *tls.ConnectionState
	certificate *x509.Certificate
	clientError error // of the client's certificate
}

func newConn(s *Server, nc net.Conn, e *Endpoint) *Conn {
	c := &Conn{
		ID: s.nextID(), Addr: addrPort(nc.RemoteAddr()), Local: addrPort(nc.LocalAddr()),
		srv: s, endpoint: e, raw: nc, conn: nc, start: time.Now(),
	}
	c.in.reset(nc)
	_, c.Unix = nc.RemoteAddr().(*net.UnixAddr)
	c.log = s.log().With("conn", c.ID, "addr", c.Client(), "listener", e.Name)
	return c
}

// Client is the client's address for logs: with its port, or "unix".
func (c *Conn) Client() string {
	if c.Unix {
		return "unix"
	}
	return c.Addr.String()
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Log is the connection's logger.
func (c *Conn) Log() *slog.Logger { return c.log }

// Listener is the name of the listener that the client came to.
func (c *Conn) Listener() string { return c.endpoint.Name }

// OffersTLS reports whether StartTLS can be used now.
func (c *Conn) OffersTLS() bool { return c.endpoint.TLS != nil && c.tlsState == nil }

// LoggedIn ends the time for logging in: from here on each line has the idle
// timeout, and a Shutdown waits for the session.
func (c *Conn) LoggedIn() { c.loggedIn.Store(true) }

// ReadLine reads a line of at most max octets, its end included, and returns
// it without its end: CRLF, or a lone LF, which Dovecot and Cyrus take too.
// The slice is valid until the next read. A longer line is ErrLineTooLong.
func (c *Conn) ReadLine(max int) ([]byte, error) {
	return c.ReadLineFunc(func([]byte) int { return max })
}

// ReadLineFunc is ReadLine with a limit that depends on how the line begins.
func (c *Conn) ReadLineFunc(limit func(start []byte) int) ([]byte, error) {
	if err := c.beforeLine(); err != nil {
		return nil, err
	}
	part, err := c.in.line()
	max := limit(part)
	if err == nil && len(part) <= max {
		return trimLine(part), nil
	}
	c.line = append(c.line[:0], part...)
	for errors.Is(err, errFull) && len(c.line) <= max {
		if !c.Reserve(lineFactor * (len(c.line) + inputSize)) {
			return nil, c.dropLine(err, ErrNoMemory, max-len(c.line)+discardMax)
		}
		part, err = c.in.line()
		c.line = append(c.line, part...)
	}
	switch {
	case len(c.line) > max:
		return nil, c.dropLine(err, ErrLineTooLong, discardMax)
	case err != nil:
		return nil, c.readError(err)
	}
	return trimLine(c.line), nil
}

// dropLine reads the rest of a line that is refused, most octets of it, and
// returns the verdict.
func (c *Conn) dropLine(err, verdict error, most int) error {
	c.line = nil
	for n := 0; errors.Is(err, errFull); {
		if n += inputSize; n > most {
			c.Abort(ErrEndlessLine)
			return c.readError(ErrEndlessLine)
		}
		_, err = c.in.line()
	}
	if err != nil {
		return c.readError(err)
	}
	return verdict
}

func trimLine(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// beforeLine flushes and sets the deadline where a whole line is not here yet.
// The deadline is the line's, not each octet's.
func (c *Conn) beforeLine() error {
	if c.err != nil {
		return c.err
	}
	if bytes.IndexByte(c.in.pending(), '\n') >= 0 {
		return nil
	}
	if cap(c.line) > inputSize {
		c.line = nil
	}
	c.release()
	return c.beforeWait()
}

func (c *Conn) beforeWait() error {
	if err := c.Flush(); err != nil {
		return err
	}
	c.waitUntil(c.readDeadline())
	return nil
}

// waitUntil sets the deadline of the wait that follows. To read TLS may be to
// write: an answer to a KeyUpdate (RFC 8446 §4.6.3), for which the deadline of
// the last output would be over, or an alert.
func (c *Conn) waitUntil(end time.Time) {
	if c.records == nil {
		c.raw.SetReadDeadline(end)
		return
	}
	c.raw.SetDeadline(end)
}

// Pause sends what is buffered and then nothing for d, or until the time for
// logging in ends, or the connection does. It reports whether the client is
// still there; one that says it will send no more is taken for gone.
//
// Before a security layer only: a layer's buffer must not be cut short.
func (c *Conn) Pause(ctx context.Context, d time.Duration) bool {
	if c.Flush() != nil {
		return false
	}
	end := time.Now().Add(d)
	if login := c.LoginDeadline(); login.Before(end) {
		end = login
	}
	c.waitUntil(end)
	for err := error(nil); !errors.Is(err, errFull); {
		if err = c.in.fill(); errors.Is(err, os.ErrDeadlineExceeded) {
			return true
		} else if err != nil && !errors.Is(err, errFull) {
			return false
		}
	}
	t := time.NewTimer(time.Until(end)) // more than that need not be read to know
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Read reads what is there, after all output has been sent. It is for the
// parts of a protocol that have no lines.
func (c *Conn) Read(p []byte) (int, error) {
	there, err := c.Peek()
	n := copy(p, there)
	c.in.discard(n)
	return n, err
}

// Abort ends the connection at once, from any goroutine. cause is what its
// owner gets from the next read.
func (c *Conn) Abort(cause error) {
	c.aborted.CompareAndSwap(nil, &cause)
	c.cancel()
	c.raw.Close()
}

// Linger makes the end of the connection wait a moment for what the client is
// still sending, so that a last reply is not lost to a reset.
func (c *Conn) Linger() { c.linger = true }

func (c *Conn) close() {
	c.Flush()
	if c.linger && c.err == nil {
		c.drain()
	}
	c.conn.Close()
	c.in.release()
}

func (c *Conn) drain() {
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.raw.SetReadDeadline(time.Now().Add(2 * time.Second))
	io.CopyN(io.Discard, c.raw, lingerMax)
}

// turnAway cuts a connection that was not admitted. The line fits the empty
// socket buffer, so this does not wait.
func (c *Conn) turnAway() {
	if c.endpoint.Busy != "" && !c.endpoint.Implicit {
		c.raw.SetWriteDeadline(time.Now().Add(time.Second))
		io.WriteString(c.raw, c.endpoint.Busy+"\r\n")
	}
	c.raw.Close()
}

// LoginDeadline is when the time for logging in ends.
func (c *Conn) LoginDeadline() time.Time {
	return c.start.Add(orDefault(c.endpoint.LoginTimeout, time.Minute))
}

func (c *Conn) readDeadline() time.Time {
	if !c.loggedIn.Load() {
		return c.LoginDeadline()
	}
	return time.Now().Add(orDefault(c.endpoint.IdleTimeout, 10*time.Minute))
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// readError says why reading ended: the cause of Abort comes first.
func (c *Conn) readError(err error) error {
	cause := c.aborted.Load()
	switch {
	case cause != nil:
		return *cause
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case c.loggedIn.Load():
		return ErrIdleTimeout
	}
	return ErrLoginTimeout
}

// logEnd logs how the connection ended. A client that goes away is noise.
func (c *Conn) logEnd(err error) {
	level := slog.LevelDebug
	if errors.Is(err, ErrIdleTimeout) || errors.Is(err, ErrSlowReader) ||
		errors.Is(err, ErrPipelined) || errors.Is(err, ErrEndlessLine) || errors.Is(err, ErrClientCertificate) {
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{slog.Duration("after", time.Since(c.start).Round(time.Millisecond))}
	if err != nil {
		attrs = append(attrs, slog.String("err", clip(err.Error())))
	}
	c.log.LogAttrs(context.Background(), level, "connection ended", attrs...)
}

// clip bounds a text for the log. The errors of a TLS handshake repeat lists
// that the client made up, of up to 64 KiB.
func clip(text string) string {
	const longest = 512
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}
