package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"kpopd/auth"
	"kpopd/auth/krb5"
)

// Tickets are what gssapi and kpop log in with. Each login makes an AP-REQ of
// its own.
type Tickets struct {
	// Caches have each user's service ticket, by number from 0; one is for all.
	Caches  []*krb5.CCache
	Service string // "pop"
	Host    string // the server's name in the ticket
}

func (t *Tickets) of(user int) *krb5.CCache { return t.Caches[user%len(t.Caches)] }

// gssapi logs in by SASL GSSAPI without a security layer (RFC 4752 §3.1). There
// is no initial response: RFC 5034 §4 leaves it 255 octets.
func (c *client) gssapi(user int) error {
	t := &c.run.o.Tickets
	sec, err := t.of(user).Start(context.Background(), t.Service, t.Host, c.peer())
	if err != nil {
		return err
	}
	token, _, err := sec.InitSecContext("", nil)
	if err != nil {
		return err
	}
	if _, err := c.challenge("AUTH GSSAPI", nil); err != nil {
		return err
	}
	answer, err := c.challenge("", token)
	if err != nil {
		return err
	}
	if _, _, err := sec.InitSecContext("", answer); err != nil {
		return err
	}
	offer, err := c.challenge("", nil)
	if err != nil {
		return err
	}
	choice, err := sec.NegotiateSaslAuth(offer, c.run.o.Users.Name(user))
	if err != nil {
		return err
	}
	_, err = c.command("", base64.StdEncoding.EncodeToString(choice))
	return err
}

// peer is the server, for the binding to its certificate.
func (c *client) peer() auth.Peer {
	conn, secure := c.Conn.(*tls.Conn)
	if !secure {
		return auth.Peer{}
	}
	state := conn.ConnectionState()
	return auth.Peer{TLS: &state, Certificate: state.PeerCertificates[0]}
}

// challenge sends a word, or a token, and returns what the server's challenge
// holds.
func (c *client) challenge(word string, token []byte) ([]byte, error) {
	c.out = append(base64.StdEncoding.AppendEncode(append(c.out[:0], word...), token), "\r\n"...)
	if err := c.send(c.out); err != nil {
		return nil, err
	}
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	data, ok := bytes.CutPrefix(line, []byte("+"))
	if !ok || bytes.HasPrefix(line, []byte("+OK")) {
		return nil, fmt.Errorf("%w %.200q", errReply, line)
	}
	challenge, err := base64.StdEncoding.AppendDecode(nil, bytes.TrimPrefix(data, []byte(" ")))
	if err != nil {
		return nil, fmt.Errorf("%w: %.40q is no challenge", errForm, line)
	}
	return challenge, nil
}

// versions are the first two frames of sendauth, for KPOP.
var versions = append(frame(nil, []byte("KRB5_SENDAUTH_V1.0\x00")), frame(nil, []byte("KPOPV1.0\x00"))...)

// frame appends data with its length before it.
func frame(b, data []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
}

// kpop proves the client by sendauth, and then names the maildrop. The AP-REP,
// which proves the server, is read but not looked at: that would be this
// client's work alone.
func (c *client) kpop(user int) error {
	t := &c.run.o.Tickets
	apReq, err := t.of(user).Request(t.Service, t.Host)
	if err != nil {
		return err
	}
	if err := c.sendauth(apReq); err != nil {
		return err
	}
	if err := c.greet(); err != nil {
		return err
	}
	if _, err := c.command("USER ", c.run.o.Users.Name(user)); err != nil {
		return err
	}
	_, err = c.command("PASS ", "ticket")
	return err
}

// sendauth sends a ticket as krb5_sendauth does, and reads the answers.
func (c *client) sendauth(apReq []byte) error {
	if err := c.send(versions); err != nil {
		return err
	}
	status, err := c.take(1)
	if err != nil {
		return err
	}
	if status[0] != 0 {
		return fmt.Errorf("%w: status %d of sendauth", errReply, status[0])
	}
	c.out = frame(c.out[:0], apReq)
	if err := c.send(c.out); err != nil {
		return err
	}
	refusal, err := c.frame()
	if err != nil {
		return err
	}
	if len(refusal) > 0 { // a KRB-ERROR
		return fmt.Errorf("%w that the ticket is refused", errReply)
	}
	_, err = c.frame() // AP-REP
	return err
}

// take reads n octets, which are good until the next read.
func (c *conn) take(n int) ([]byte, error) {
	if n > len(c.buf) {
		return nil, errLong
	}
	for c.w-c.r < n {
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
	b := c.buf[c.r : c.r+n]
	c.r += n
	return b, nil
}

// frame reads a frame of sendauth.
func (c *conn) frame() ([]byte, error) {
	head, err := c.take(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head)
	if uint64(n) > uint64(len(c.buf)) {
		return nil, fmt.Errorf("%w: a frame of %d octets", errForm, n)
	}
	return c.take(int(n))
}
