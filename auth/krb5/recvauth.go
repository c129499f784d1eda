package krb5

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"kpopd/auth"
)

// The protocol errors of [Acceptor.RecvAuth]: what came was no sendauth of
// Kerberos 5. They say what the caller does next; nothing was proven.
var (
	// ErrSendauthVersion means that the peer speaks another version of
	// sendauth, and ErrAppVersion that it wants another application. The peer
	// was told by a status byte; a line of text may follow, which it shows.
	ErrSendauthVersion = errors.New("krb5: sendauth version not known")
	ErrAppVersion      = errors.New("krb5: application version not known")
	// ErrFrame means that the first frame has an impossible length. The peer
	// was told by a status byte; there is nothing more to say to it.
	ErrFrame = errors.New("krb5: not a sendauth frame")
	// ErrKerberos4 means a client of Kerberos 4. Nothing was written: it waits
	// for a line of text, which it shows.
	ErrKerberos4 = errors.New("krb5: Kerberos 4 client")
	// ErrNotKerberos means that a line of text came: a POP3 client at the
	// wrong port. Nothing was written: it waits for a line of text.
	ErrNotKerberos = errors.New("krb5: text instead of Kerberos")
	// ErrTLSHello means that a TLS handshake came. Nothing was written, and
	// no text may be.
	ErrTLSHello = errors.New("krb5: TLS instead of Kerberos")
)

// Mechanism is the [auth.Identity.Mechanism] of identities from
// [Acceptor.RecvAuth].
const Mechanism = "KPOP"

const (
	sendauthVersion = "KRB5_SENDAUTH_V1.0\x00"
	maxVersion      = 64

	statusOK              = 0
	statusSendauthVersion = 1
	statusAppVersion      = 2
)

// RecvAuth is the server's side of sendauth: it accepts an AP-REQ from rw on
// behalf of an application, such as "KPOPV1.0". It reads exactly the octets of
// the exchange, so what a client pipelined behind them stays in rw, and it
// sends every answer with one Write.
//
// The caller sets the deadlines of the connection. The error is one of the
// protocol errors above, or an [*auth.Refusal], or an error of rw. A refusal
// has been sent to the client as a KRB-ERROR; a line of text may follow, which
// clients show.
func (a *Acceptor) RecvAuth(ctx context.Context, rw io.ReadWriter, version string, p auth.Peer) (auth.Identity, error) {
	s := sendauth{rw: rw}
	if err := s.greet(version); err != nil {
		return auth.Identity{}, err
	}
	apReq, err := s.request()
	if err != nil {
		return auth.Identity{}, s.reject(a, err)
	}
	c, err := a.accept(ctx, apReq, p, notForGSS)
	if err != nil {
		a.failed(p, err)
		return auth.Identity{}, s.reject(a, err)
	}
	c.attempt.Succeeded() // it takes no more than an AP-REQ
	if err := s.accepted(c); err != nil {
		return auth.Identity{}, s.reject(a, err)
	}
	c.Identity.Mechanism = Mechanism
	return c.Identity, nil
}

// notForGSS refuses an AP-REQ that was made for GSSAPI. Here an AP-REQ is all
// that it takes, and the channel binding in that checksum is not looked at: who
// sits between a client of GSSAPI and the server could log in with what was
// sent there. No client of sendauth makes this checksum.
func notForGSS(c *Context) error {
	if c.Checksum.CksumType == checksumGSS {
		return causeForGSS.refuse("")
	}
	return nil
}

// sendauth is one exchange with one client:
//
//	C: length "KRB5_SENDAUTH_V1.0" NUL, length "KPOPV1.0" NUL
//	S: status, one octet
//	C: length AP-REQ
//	S: length KRB-ERROR, or a length of 0 and, if it was asked for, length AP-REP
//
// Lengths are 32 bits, big-endian.
type sendauth struct{ rw io.ReadWriter }

// greet reads the two version frames and answers them with the status.
func (s sendauth) greet(version string) error {
	n, err := s.first()
	if err != nil {
		return err
	}
	name, err := readN(s.rw, n)
	if err != nil {
		return err
	}
	// The second frame is read even where the first is wrong: data left unread
	// at the close would cost the client the line of text that follows.
	application, fits, err := s.version()
	if err != nil {
		return err
	}
	switch {
	case string(name) != sendauthVersion: // with the NUL: CVE-2014-5355
		return s.status(statusSendauthVersion, ErrSendauthVersion)
	case !fits || string(application) != version+"\x00":
		return s.status(statusAppVersion, ErrAppVersion)
	}
	return s.status(statusOK, nil)
}

// first reads the length of the first frame, which is also what tells the
// other clients that come to this port.
func (s sendauth) first() (int, error) {
	head, err := readN(s.rw, 4)
	if err != nil {
		return 0, err
	}
	n := length(head)
	switch {
	case 0 < n && n <= maxVersion:
		return int(n), nil
	case head[0] == 0x16 && head[1] == 0x03: // RFC 8446 §5.1: a handshake record
		return 0, ErrTLSHello
	case isText(head):
		return 0, s.text(head)
	}
	return 0, s.status(statusSendauthVersion, ErrFrame)
}

// version reads the second frame. fits is false, and nothing is read, where
// it is too long to be a version.
func (s sendauth) version() (v []byte, fits bool, err error) {
	head, err := readN(s.rw, 4)
	if err != nil {
		return nil, false, err
	}
	n := length(head)
	if n > maxVersion {
		return nil, false, nil
	}
	v, err = readN(s.rw, int(n))
	return v, true, err
}

// status sends the status octet and returns verdict.
func (s sendauth) status(octet byte, verdict error) error {
	if _, err := s.rw.Write([]byte{octet}); err != nil {
		return fmt.Errorf("krb5: send status: %w", err)
	}
	return verdict
}

// request reads the AP-REQ.
func (s sendauth) request() ([]byte, error) {
	head, err := readN(s.rw, 4)
	if err != nil {
		return nil, err
	}
	n := length(head)
	if n > maxAPReq {
		return nil, causeTooLong.refuse("AP-REQ of %d octets", n)
	}
	const factor = 3 // it, what it is taken apart into, and some more
	if r, ok := s.rw.(interface{ Reserve(octets int) bool }); ok && !r.Reserve(factor*int(n)) {
		return nil, causeNoMemory.refuse("AP-REQ of %d octets", n)
	}
	return readN(s.rw, int(n))
}

// accepted sends that all is well, and the AP-REP if the client wants one.
// The AP-REP repeats the client's subkey, as MIT's does.
func (s sendauth) accepted(c *Context) error {
	answer := make([]byte, 4, 256)
	if c.Mutual {
		subkey := &c.Subkey
		if len(subkey.KeyValue) == 0 {
			subkey = nil
		}
		rep, err := c.APRep(subkey, nil)
		if err != nil {
			return causeInternal.refuse("%w", err)
		}
		answer = appendFrame(answer, rep)
	}
	if _, err := s.rw.Write(answer); err != nil {
		return fmt.Errorf("krb5: send AP-REP: %w", err)
	}
	return nil
}

// reject sends the KRB-ERROR of a refusal, and returns the refusal. Where a
// frame is due, text would be taken for its length. Other errors are the
// connection's.
func (s sendauth) reject(a *Acceptor, refusal error) error {
	if _, ok := errors.AsType[*auth.Refusal](refusal); !ok {
		return refusal
	}
	if _, err := s.rw.Write(appendFrame(nil, a.errorMessage(refusal))); err != nil {
		return errors.Join(refusal, fmt.Errorf("krb5: send KRB-ERROR: %w", err))
	}
	return refusal
}

// text tells a Kerberos 4 client from a POP3 client. Both wait for a line of
// text, which a reset would cost them if what they sent stayed unread.
func (s sendauth) text(head []byte) error {
	if string(head) == "AUTH" {
		next, err := readN(s.rw, 1)
		if err != nil {
			return err
		}
		if next[0] == 'V' { // AUTHV0.1; "AUTH " and "AUTH\r" are POP3 (RFC 5034)
			return s.kerberos4()
		}
		head = next
	}
	return s.line(strings.HasSuffix(string(head), "\n"))
}

// kerberos4 reads the rest of what a client of Kerberos 4 sends at once:
// "AUTHV0.1", of which five octets are gone, an application version of eight,
// a length and a ticket of at most 1250.
func (s sendauth) kerberos4() error {
	const maxTicket = 1250
	head, err := readN(s.rw, 3+8+4)
	if err != nil {
		return errors.Join(ErrKerberos4, err)
	}
	n := length(head[3+8:])
	if n > maxTicket {
		return ErrKerberos4
	}
	if _, err := readN(s.rw, int(n)); err != nil {
		return errors.Join(ErrKerberos4, err)
	}
	return ErrKerberos4
}

// line reads the rest of the line that a POP3 client sent, unless it ended.
func (s sendauth) line(ended bool) error {
	const maxLine = 255 // RFC 2449 §4
	for range maxLine {
		if ended {
			break
		}
		b, err := readN(s.rw, 1)
		if err != nil {
			return errors.Join(ErrNotKerberos, err)
		}
		ended = b[0] == '\n'
	}
	return ErrNotKerberos
}

// isText reports whether four octets look like the start of a line.
func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// length reads a frame's length, or a ticket's.
func length(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func appendFrame(dst, frame []byte) []byte {
	n := uint32(len(frame))
	dst = append(dst, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	return append(dst, frame...)
}

// readN reads n octets. It grows its buffer as they arrive, so a length that
// is merely announced costs nothing.
func readN(r io.Reader, n int) ([]byte, error) {
	const step = 4096
	buf := make([]byte, 0, min(n, step))
	for len(buf) < n {
		have := len(buf)
		more := min(n-have, max(step, have))
		buf = slices.Grow(buf, more)[:have+more]
		if m, err := io.ReadFull(r, buf[have:]); err != nil {
			return buf[:have+m], fmt.Errorf("krb5: read %d of %d octets: %w", have+m, n, err)
		}
	}
	return buf, nil
}
