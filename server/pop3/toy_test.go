package pop3_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"

	"kpopd/auth"
	"kpopd/maildrop"
	"kpopd/server"
	"kpopd/server/pop3"
)

// Toy is a SASL mechanism that does what the client's response says, so that
// transcripts reach every turn that an exchange can take.
type toy struct{ bare bool } // bare: without its security layer

func (toy) Name() string            { return "TOY" }
func (toy) Usable(p auth.Peer) bool { return p.Tickets }

func (m toy) Start(ctx context.Context, _ auth.Peer) auth.Exchange {
	return &toyExchange{ctx: ctx, bare: m.bare}
}

type toyExchange struct {
	ctx   context.Context
	bare  bool
	id    auth.Identity
	layer auth.SecurityLayer
	why   error // it was rejected
}

var (
	_ auth.LayeredExchange = (*toyExchange)(nil)
	_ auth.Rejecter        = (*toyExchange)(nil)
)

func (x *toyExchange) Rejected() error { return x.why }

func (x *toyExchange) Identity() auth.Identity   { return x.id }
func (x *toyExchange) Layer() auth.SecurityLayer { return x.layer }

func (x *toyExchange) Next(response []byte) ([]byte, bool, error) {
	verb, arg, _ := strings.Cut(string(response), ":")
	x.id = auth.Identity{User: arg, Source: "toy"}
	switch {
	case x.why != nil:
		return nil, false, x.why
	case response == nil:
		return nil, false, nil
	case len(response) == 0:
		return []byte("empty"), false, nil
	case len(response) > 256:
		return []byte("large"), false, nil
	case verb == "more":
		return []byte("again"), false, nil
	case verb == "done":
		return nil, true, nil
	case verb == "data":
		return []byte("data"), true, nil
	case verb == "layer" && !x.bare:
		x.layer = toyLayer{}
		return nil, true, nil
	case verb == "reject":
		x.why = auth.Refuse(auth.ErrCredentials, "toy-rejected")
		return []byte("why"), false, nil
	case verb == "hang":
		return nil, false, hang(x.ctx)
	case verb == "down":
		return nil, false, auth.Refuse(auth.ErrUnavailable, "toy-down")
	case verb == "denied":
		return nil, false, auth.Refuse(auth.ErrDenied, "toy-denied")
	}
	return nil, false, auth.Refuse(auth.ErrCredentials, "toy-wrong")
}

// A toyLayer protects nothing: a buffer is the octets, each with its highest
// bit turned over, behind the letter T.
type toyLayer struct{}

func (toyLayer) MaxPlain() int { return 100 }
func (toyLayer) MaxToken() int { return 101 }

func (toyLayer) Wrap(plain []byte) ([]byte, error) {
	return append([]byte("T"), turn(plain)...), nil
}

func (toyLayer) Unwrap(token []byte) ([]byte, error) {
	if token[0] != 'T' {
		return nil, errors.New("no T")
	}
	return turn(token[1:]), nil
}

func turn(p []byte) []byte {
	out := bytes.Clone(p)
	for i := range out {
		out[i] ^= 0x80
	}
	return out
}

// toyConn is the client's side of the toyLayer.
type toyConn struct {
	net.Conn
	plain []byte
}

func (y *toyConn) Read(p []byte) (int, error) {
	for len(y.plain) == 0 {
		var head [4]byte
		if _, err := io.ReadFull(y.Conn, head[:]); err != nil {
			return 0, err
		}
		token := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(y.Conn, token); err != nil {
			return 0, err
		}
		y.plain, _ = toyLayer{}.Unwrap(token)
	}
	n := copy(p, y.plain)
	y.plain = y.plain[n:]
	return n, nil
}

func (y *toyConn) Write(p []byte) (int, error) {
	token, _ := toyLayer{}.Wrap(p)
	_, err := y.Conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(token))), token...))
	return len(p), err
}

// toyAdmit stands for Kerberos in front of a KPOP session: the client speaks
// first, one line, and the octets behind it belong to the session.
func toyAdmit(ctx context.Context, c *server.Conn, _ auth.Peer) (auth.Identity, error) {
	line, err := c.ReadLine(64)
	if err != nil {
		return auth.Identity{}, err
	}
	verb, principal, _ := strings.Cut(string(line), " ")
	user, realm, _ := strings.Cut(principal, "@")
	switch verb {
	case "TICKET":
		return auth.Identity{User: user, Mechanism: "KPOP", Source: "kerberos",
			Attrs: map[string]string{"principal": principal, "realm": realm}}, nil
	case "EXPIRED":
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "ticket-expired")
	case "HANG":
		return auth.Identity{}, hang(ctx)
	case "DOWN":
		return auth.Identity{}, auth.Refuse(auth.ErrUnavailable, "replay-cache")
	case "SILENT":
		return auth.Identity{}, &pop3.Error{Err: auth.Refuse(auth.ErrCredentials, "tls-on-kpop")}
	}
	return auth.Identity{}, &pop3.Error{Code: pop3.CodeSysPerm, Text: "Kerberos required on this port",
		Err: auth.Refuse(auth.ErrCredentials, "not-kerberos")}
}

// hang waits for somebody who never answers, as long as ctx lasts.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return auth.Refuse(auth.ErrUnavailable, "no-answer")
}

// A brittle store and locker do what an operator fears, when told so.
type brittle struct {
	maildrop.Store
	maildrop.Locker
	fail map[string]bool
	last *brittleLease
}

var errBroken = errors.New("disk is on fire")

func (b *brittle) Lock(ctx context.Context, name string) (maildrop.Lease, error) {
	switch {
	case b.fail["lock"]:
		return nil, errBroken
	case b.fail["hang"]:
		return nil, hang(ctx)
	case b.fail["name"]:
		return nil, maildrop.ErrName
	}
	l, err := b.Locker.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	b.last = &brittleLease{Lease: l, lost: make(chan struct{})}
	return b.last, nil
}

func (b *brittle) Open(ctx context.Context, l maildrop.Lease) (maildrop.Box, error) {
	switch {
	case b.fail["open"]:
		return nil, errBroken
	case b.fail["absent"]:
		return nil, maildrop.ErrNotExist
	}
	box, err := b.Store.Open(ctx, l)
	if err != nil {
		return nil, err
	}
	return &brittleBox{box, b}, nil
}

// A brittleLease is lost when told so.
type brittleLease struct {
	maildrop.Lease
	lost chan struct{}
}

func (l *brittleLease) Lost() <-chan struct{} { return l.lost }

type brittleBox struct {
	maildrop.Box
	b *brittle
}

func (x *brittleBox) Retrieve(ctx context.Context, i int) (maildrop.Content, error) {
	switch {
	case x.b.fail["vanish"]:
		return maildrop.Content{}, maildrop.ErrVanished
	case x.b.fail["panic"]:
		panic("a bug in the store")
	}
	c, err := x.Box.Retrieve(ctx, i)
	if err == nil && x.b.fail["read"] {
		c.ReadCloser = io.NopCloser(io.MultiReader(io.LimitReader(c.ReadCloser, 10), brokenReader{}))
	}
	if err == nil && x.b.fail["short"] {
		c.ReadCloser = io.NopCloser(io.LimitReader(c.ReadCloser, 10))
	}
	if err == nil && x.b.fail["long"] {
		c.ReadCloser = io.NopCloser(io.MultiReader(c.ReadCloser, strings.NewReader("and more\n")))
	}
	return c, err
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

// Remove removes the first and stops.
func (x *brittleBox) Remove(ctx context.Context, indexes []int) error {
	if x.b.fail["remove"] {
		return errors.Join(x.Box.Remove(ctx, indexes[:1]), errBroken)
	}
	return x.Box.Remove(ctx, indexes)
}

func (x *brittleBox) Close() error {
	err := x.Box.Close()
	if x.b.fail["close"] {
		return errors.Join(err, errBroken)
	}
	return err
}
