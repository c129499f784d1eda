package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// ErrPipelined means that a client sent more behind the command that starts
// TLS or a security layer. Those octets belong to nobody, so the connection
// ends (RFC 2595 §4).
var ErrPipelined = errors.New("server: input pending behind the start of protection")

// maxNameText is the longest name in a certificate that is logged, in octets of
// DER.
const maxNameText = 4096

// maxShown is the most that a client's certificates may take, in octets of DER:
// five times what a chain of four takes. TLS has room for 256 KiB, which take
// ten times as much memory for as long as the connection lasts.
const maxShown = 32 << 10

type leafKey struct{}

// TLSConfig returns a server's configuration that chooses among certs by the
// name that the client asks for, the first one else. It takes TLS 1.2 or newer
// as min says (RFC 8996, RFC 9325 §3.1.1), and of a client that sends ALPN
// only "pop3" (RFC 9325 §3.7).
//
// The certificate shown on a connection is [Conn.Certificate].
func TLSConfig(certs []tls.Certificate, min uint16) *tls.Config {
	return &tls.Config{
		MinVersion: max(min, tls.VersionTLS12),
		NextProtos: []string{"pop3"},
		// Small records are for who can use the beginning of a page. A reply is of
		// use when it is whole.
		DynamicRecordSizingDisabled: true,
		VerifyPeerCertificate: func(shown [][]byte, _ [][]*x509.Certificate) error {
			n := 0
			for _, cert := range shown {
				n += len(cert)
			}
			if n > maxShown {
				return fmt.Errorf("server: the client shows %d octets of certificates", n)
			}
			return nil
		},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert := choose(certs, hello)
			if slot, ok := hello.Context().Value(leafKey{}).(**tls.Certificate); ok {
				*slot = cert
			}
			return cert, nil
		},
		// Called for resumed sessions too, where GetCertificate is not; the
		// binding of tls-server-end-point needs the certificate all the same.
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if slot, ok := hello.Context().Value(leafKey{}).(**tls.Certificate); ok {
				*slot = choose(certs, hello)
			}
			return nil, nil
		},
	}
}

func choose(certs []tls.Certificate, hello *tls.ClientHelloInfo) *tls.Certificate {
	for i := range certs {
		if hello.SupportsCertificate(&certs[i]) == nil {
			return &certs[i]
		}
	}
	return &certs[0]
}

// StartTLS sends line, the positive reply to the command that asked for TLS,
// and begins TLS right behind it. Input that is pending already, in the clear,
// is ErrPipelined and ends the connection. After an error the connection is of
// no more use.
func (c *Conn) StartTLS(ctx context.Context, line string) error {
	if len(c.in.pending()) > 0 {
		c.Abort(ErrPipelined)
		return ErrPipelined
	}
	c.Printf("%s\r\n", line)
	if err := c.Flush(); err != nil {
		return err
	}
	return c.handshake(ctx)
}

func (c *Conn) handshake(ctx context.Context) error {
	if c.endpoint.TLS == nil {
		return errors.New("server: TLS is not configured")
	}
	return c.Deep(func() error { return c.shakeHands(ctx) })
}

func (c *Conn) shakeHands(ctx context.Context) error {
	var leaf *tls.Certificate
	c.records = &records{Conn: c.raw, c: c}
	t := tls.Server(c.records, c.endpoint.TLS)
	// The deadline is the login's: a stalled handshake is not its own wait.
	c.raw.SetDeadline(c.LoginDeadline())
	if err := t.HandshakeContext(context.WithValue(ctx, leafKey{}, &leaf)); err != nil {
		c.raw.Close()
		return c.readError(fmt.Errorf("TLS handshake: %w", err))
	}
	c.raw.SetDeadline(time.Time{})
	if leaf != nil {
		c.certificate = leaf.Leaf
	}
	state := t.ConnectionState()
	c.tlsState, c.conn = &state, t
	c.in.reset(t)
	c.Record(ctx, Event{Kind: EventTLS, Err: c.checkClient(), Attrs: append([]slog.Attr{
		slog.String("version", tls.VersionName(state.Version)),
		slog.String("cipher", tls.CipherSuiteName(state.CipherSuite)),
		slog.Bool("resumed", state.DidResume),
	}, c.clientAttrs()...)})
	return nil
}

// ErrClientCertificate is for the TLS configuration of an [Endpoint] that
// requires a good certificate: who shows another is told by TLS alone, and the
// log says why.
var ErrClientCertificate = errors.New("server: the client's certificate is not accepted")

// checkClient judges the client's certificate, if there is one.
func (c *Conn) checkClient() error {
	if check := c.endpoint.CheckClient; check != nil && len(c.tlsState.PeerCertificates) > 0 {
		c.clientError = check(c.tlsState.PeerCertificates)
	}
	return c.clientError
}

// clientAttrs tell of the client's certificate, if there is one.
func (c *Conn) clientAttrs() []slog.Attr {
	if len(c.tlsState.PeerCertificates) == 0 {
		return nil
	}
	cert := c.tlsState.PeerCertificates[0]
	return []slog.Attr{
		slog.String("client_subject", Clip(nameText(cert.RawSubject, cert.Subject), 256)),
		slog.String("client_issuer", Clip(nameText(cert.RawIssuer, cert.Issuer), 256)),
		slog.String("client_serial", Clip(cert.SerialNumber.Text(16), 256)),
	}
}

// nameText is a name of a stranger's certificate. One that is too long is not
// written out: package pkix takes seconds for what fits into a certificate.
func nameText(der []byte, name pkix.Name) string {
	if len(der) > maxNameText {
		return "(too long)"
	}
	return name.String()
}

// TLS is the state of the connection's TLS; nil: it is in the clear.
func (c *Conn) TLS() *tls.ConnectionState { return c.tlsState }

// Certificate is the certificate that this server showed; nil without TLS.
func (c *Conn) Certificate() *x509.Certificate { return c.certificate }

// ClientError is why the client's certificate was not good when TLS began;
// nil: it was, or there is none.
func (c *Conn) ClientError() error { return c.clientError }
