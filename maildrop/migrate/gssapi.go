package migrate

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
)

// A Security is the client's side of one exchange by SASL GSSAPI (RFC 4752
// §3.1) without a security layer, whose methods are called in this order.
type Security interface {
	InitSecContext(target string, token []byte) (out []byte, more bool, err error)
	NegotiateSaslAuth(token []byte, authzid string) ([]byte, error)
	DeleteSecContext() error
}

// gssapi logs in by a ticket. There is no initial response: RFC 5034 §4 leaves
// it 255 octets.
func (c *Client) gssapi(ctx context.Context, l Login) error {
	if err := c.exchange(ctx, l); err != nil {
		return fmt.Errorf("AUTH GSSAPI: %w", err)
	}
	c.capabilities() // RFC 2449 §5: there may be more now
	return nil
}

func (c *Client) exchange(ctx context.Context, l Login) error {
	var state *tls.ConnectionState
	if conn, secure := c.conn.(*tls.Conn); secure {
		s := conn.ConnectionState()
		state = &s
	}
	sec, err := l.Ticket(ctx, l.URL.Hostname(), state)
	if err != nil {
		return err
	}
	defer func() { _ = sec.DeleteSecContext() }()
	token, _, err := sec.InitSecContext("", nil)
	if err != nil {
		return err
	}
	if _, err := c.challenge("AUTH GSSAPI"); err != nil {
		return err
	}
	answer, err := c.challenge(base64.StdEncoding.EncodeToString(token))
	if err != nil {
		return err
	}
	if _, _, err := sec.InitSecContext("", answer); err != nil {
		return err
	}
	offer, err := c.challenge("") // RFC 4752 §3.1: the server goes on
	if err != nil {
		return err
	}
	choice, err := sec.NegotiateSaslAuth(offer, l.User)
	if err != nil {
		return err
	}
	if err := c.send(base64.StdEncoding.EncodeToString(choice)); err != nil {
		return err
	}
	_, err = c.reply()
	return err
}

// challenge sends a line and returns what the server's challenge holds.
func (c *Client) challenge(line string) ([]byte, error) {
	if err := c.send(line); err != nil {
		return nil, err
	}
	text, err := c.line()
	if err != nil {
		return nil, err
	}
	data, ok := strings.CutPrefix(text, "+ ")
	if !ok && text != "+" { // an empty one
		return nil, fmt.Errorf("%w %.200q", ErrReply, text)
	}
	challenge, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return nil, formatf("%.40q is no challenge", data)
	}
	return challenge, nil
}
