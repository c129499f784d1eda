package krb5

import (
	"errors"
	"fmt"

	"kpopd/auth"
)

const (
	// maxLayerToken is the longest token that a client may send: a command
	// with all the pipelining behind it.
	maxLayerToken = 0xffff
	// minLayerPlain is what a client must take in one token: a response line
	// (RFC 1939 §3).
	minLayerPlain = 512
	// maxLayerPlain bounds one token of this side, whatever the client takes.
	maxLayerPlain = 64 << 10
)

var errLayerSealed = errors.New("krb5: a token in the clear where encryption was agreed on")

// A gssLayer is the security layer of RFC 4752 §3.3. It is not safe for
// concurrent use.
type gssLayer struct {
	cfx      *cfx
	sealed   bool
	maxPlain int
}

var _ auth.SecurityLayer = (*gssLayer)(nil)

// newGSSLayer returns a layer to a client that takes tokens of up to size
// octets, the whole token counted.
func newGSSLayer(c *cfx, sealed bool, size int) (*gssLayer, error) {
	if sealed {
		if err := c.prepare(); err != nil {
			return nil, err
		}
	}
	return &gssLayer{c, sealed, min(max(size-c.overhead(sealed), 0), maxLayerPlain)}, nil
}

func (l *gssLayer) MaxPlain() int { return l.maxPlain }
func (l *gssLayer) MaxToken() int { return maxLayerToken }

func (l *gssLayer) Wrap(plain []byte) ([]byte, error) {
	if len(plain) > l.maxPlain {
		return nil, fmt.Errorf("krb5: wrap %d octets, the client takes %d", len(plain), l.maxPlain)
	}
	return l.cfx.wrap(plain, l.sealed), nil
}

// Unwrap fails on a token that is not encrypted where it has to be. After an
// error the connection has to end.
func (l *gssLayer) Unwrap(token []byte) ([]byte, error) {
	if len(token) > maxLayerToken {
		return nil, fmt.Errorf("krb5: token of %d octets", len(token))
	}
	plain, sealed, err := l.cfx.unwrap(token)
	if err != nil {
		return nil, fmt.Errorf("krb5: %w", err)
	}
	if l.sealed && !sealed {
		return nil, errLayerSealed
	}
	return plain, nil
}
