package ldap

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
)

// A server is one of a directory's servers. Searches and password checks have
// pools of their own, because a bind changes who a connection belongs to.
type server struct {
	url              string // for the log
	network, address string
	host             string      // as the URL names it; "": a socket
	tls              *tls.Config // nil: in the clear
	startTLS         bool        // TLS begins inside LDAP (RFC 4511 §4.14)

	dialer       net.Dialer
	search, bind *pool
	down         atomic.Bool // it is being probed, and passed over meanwhile
	gone         atomic.Bool // it is none of the domain's any more
}

// leave closes the connections that nobody uses, and the others after that.
func (s *server) leave() {
	s.gone.Store(true)
	s.search.close()
	s.bind.close()
}

// newServer parses a URL (RFC 4516, and ldapi with the socket's path as the
// host).
func newServer(text string, c *Config) (*server, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	s := &server{url: text, network: "tcp", dialer: net.Dialer{Resolver: c.Resolver}}
	if scheme == "ldapi" {
		host, _, _ := strings.Cut(rest, "/")
		path, err := url.PathUnescape(host)
		if path == "" {
			path = "/var/run/slapd/ldapi"
		}
		s.network, s.address = "unix", path
		return s, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	port := "389"
	switch scheme {
	case "ldaps":
		port = "636"
	case "ldap":
		s.startTLS = !c.Clear
	default:
		return nil, fmt.Errorf("%q is no URL of a directory", text)
	}
	s.host = u.Hostname()
	s.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	if scheme == "ldaps" || s.startTLS {
		s.tls = &tls.Config{ServerName: u.Hostname(), RootCAs: c.CAs, MinVersion: tls.VersionTLS12}
	}
	return s, nil
}

// dial opens a connection on which nobody is bound. Of go-ldap's own ways,
// none has a deadline for StartTLS.
func (s *server) dial(ctx context.Context) (*link, error) {
	raw, err := s.dialer.DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: raw}
	w.left.Store(maxAnswer)
	c := &link{wire: w, born: time.Now()}
	if s.tls == nil || s.startTLS {
		c.Conn = goldap.NewConn(w, false)
		c.Start()
		if !s.startTLS {
			return c, nil
		}
		// What comes in the clear behind the answer is left in a buffer that
		// nobody reads any more (RFC 4511 §4.14.2).
		if err := c.do(ctx, func(conn *goldap.Conn) error {
			w.left.Store(maxClear)
			return conn.StartTLS(s.tls)
		}); err != nil {
			c.hangUp()
			return nil, fmt.Errorf("StartTLS: %v", err) // no answer about a user
		}
		return c, nil
	}
	secure := tls.Client(w, s.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, err
	}
	c.Conn = goldap.NewConn(secure, true)
	c.Start()
	return c, nil
}

// errServiceBind means that the directory does not take the service's own
// name and password.
var errServiceBind = errors.New("the directory refuses the service's own bind")

// dialSearch opens a connection on which the service is bound.
func (s *server) dialSearch(ctx context.Context, c *Config) (*link, error) {
	conn, err := s.dial(ctx)
	switch {
	case err != nil || c.BindDN == "" && c.BindTicket == nil:
		return conn, err
	case c.BindTicket != nil:
		return s.bindByTicket(ctx, c, conn)
	}
	secret, err := c.BindPassword()
	if err == nil && secret == "" { // RFC 4513 §5.1.2: it would be an anonymous bind
		err = errors.New("the password is empty")
	}
	if err == nil {
		err = conn.do(ctx, func(l *goldap.Conn) error { return l.Bind(c.BindDN, string(secret)) })
	}
	if err != nil {
		conn.hangUp()
		return nil, fmt.Errorf("%w: %v", errServiceBind, err) // nor is this
	}
	return conn, nil
}

// bindByTicket binds the service by SASL GSSAPI (RFC 4513 §5.2). That no ticket
// can be had for the moment is an outage like any other.
func (s *server) bindByTicket(ctx context.Context, c *Config, conn *link) (*link, error) {
	var p auth.Peer
	if state, ok := conn.TLSConnectionState(); ok && len(state.PeerCertificates) > 0 {
		p.TLS, p.Certificate = &state, state.PeerCertificates[0]
	}
	sec, err := c.BindTicket(ctx, s.host, p)
	if err != nil {
		conn.hangUp()
		if errors.Is(err, auth.ErrCredentials) {
			return nil, fmt.Errorf("%w: %v", errServiceBind, err)
		}
		return nil, fmt.Errorf("the service's own bind: %v", err)
	}
	if err := conn.do(ctx, func(l *goldap.Conn) error { return l.GSSAPIBind(sec, "ldap/"+s.host, "") }); err != nil {
		conn.hangUp()
		return nil, fmt.Errorf("%w: %v", errServiceBind, err)
	}
	return conn, nil
}

// ping asks for the root entry. A server that answers is there.
func ping(c *goldap.Conn) error {
	_, err := c.Search(goldap.NewSearchRequest("", goldap.ScopeBaseObject, goldap.NeverDerefAliases,
		1, 0, false, "(objectClass=*)", []string{"1.1"}, nil))
	if goldap.IsErrorWithCode(err, goldap.LDAPResultBusy) || goldap.IsErrorWithCode(err, goldap.LDAPResultUnavailable) {
		return fmt.Errorf("asking for the root entry: %w", err)
	}
	return nil
}
