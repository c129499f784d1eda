package krb5

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

// maxCCache bounds a credentials cache.
const maxCCache = 4 << 20

var errCCache = errors.New("krb5: not a credentials cache of the kind FILE")

// A CCache is what a user's credentials cache holds: service tickets that
// kinit(1), kvno(1) or a program put there.
type CCache struct {
	path    string
	tickets []*Ticket
}

// LoadCCache reads a credentials cache in the FILE format of MIT Kerberos,
// version 3 or 4, that only its owner can read. name is a path, with or without
// "FILE:" before it, as KRB5CCNAME has it.
func LoadCCache(name string) (*CCache, error) {
	path, isFile := strings.CutPrefix(name, "FILE:")
	if kind, _, other := strings.Cut(path, ":"); !isFile && other && !strings.Contains(kind, "/") {
		return nil, fmt.Errorf("%s: %w", name, errCCache)
	}
	b, _, err := auth.ReadFile(path, maxCCache, 0o077)
	if err != nil {
		return nil, fmt.Errorf("credentials cache: %w", err)
	}
	tickets, err := parseCCache(b)
	if err != nil {
		return nil, fmt.Errorf("credentials cache %s: %w", path, err)
	}
	return &CCache{path, tickets}, nil
}

// Start begins an exchange with a service, such as "pop", on a host, with the
// ticket for it that the cache holds, bound to p's connection to it where that
// is TLS (RFC 5929 §4). No KDC is asked.
func (c *CCache) Start(_ context.Context, service, host string, p auth.Peer) (*Initiator, error) {
	t, err := c.ticket(service, host)
	if err != nil {
		return nil, err
	}
	return initiate(t, p), nil
}

// Request returns a fresh AP-REQ for a service on a host, which asks for mutual
// authentication, as a client of sendauth sends it. No KDC is asked.
func (c *CCache) Request(service, host string) ([]byte, error) {
	t, err := c.ticket(service, host)
	if err != nil {
		return nil, err
	}
	return t.Request(RequestOptions{Options: RequestMutual})
}

// ticket returns the ticket for a service that the cache holds.
func (c *CCache) ticket(service, host string) (*Ticket, error) {
	expired := false
	for _, t := range c.tickets {
		name := t.Service.Components
		if len(name) != 2 || name[0] != service || !strings.EqualFold(name[1], host) {
			continue
		}
		if expired = !time.Now().Before(t.End); !expired {
			return t, nil
		}
	}
	if expired {
		return nil, fmt.Errorf("%s: krb5: the ticket for %s/%s has expired: kinit, and kvno %[2]s/%[3]s", c.path, service, host)
	}
	return nil, fmt.Errorf("%s: krb5: it has no ticket for %s/%s: kvno %[2]s/%[3]s gets one", c.path, service, host)
}

// initiate begins with a ticket, bound to p's connection.
func initiate(t *Ticket, p auth.Peer) *Initiator {
	i := &Initiator{ticket: t}
	if data := p.Bindings(auth.BindingEndPoint); len(data) > 0 {
		i.bindings = hashBindings(append([]byte(auth.BindingEndPoint+":"), data[0]...))
	}
	return i
}

// parseCCache returns the tickets of a cache, those with keys of enctypes that
// this package implements.
func parseCCache(b []byte) ([]*Ticket, error) {
	r := &ccacheReader{b: b}
	r.version = r.uint16()
	switch r.version {
	case 0x0503:
	case 0x0504:
		r.take(uint32(r.uint16())) // tags, such as the KDC's time
	default:
		return nil, errCCache
	}
	r.principal() // whose it is
	var all []*Ticket
	for len(r.b) > 0 && !r.bad {
		t := r.credential()
		if !r.bad && wellFormedKey(t.Session) && t.Client.Valid() == nil && t.Service.Valid() == nil {
			all = append(all, t)
		}
	}
	if r.bad {
		return nil, errCCache
	}
	return all, nil
}

// A ccacheReader is what is left of the file; bad: it ended early.
type ccacheReader struct {
	b       []byte
	version uint16
	bad     bool
}

func (r *ccacheReader) take(n uint32) []byte {
	if uint64(n) > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return make([]byte, min(n, 4))
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *ccacheReader) uint16() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *ccacheReader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *ccacheReader) data() []byte   { return r.take(r.uint32()) }

func (r *ccacheReader) time() time.Time { return time.Unix(int64(r.uint32()), 0).UTC() }

func (r *ccacheReader) principal() Principal {
	r.uint32() // the type of the name
	n := r.uint32()
	p := Principal{Realm: string(r.data())}
	for ; n > 0 && !r.bad; n-- {
		p.Components = append(p.Components, string(r.data()))
	}
	return p
}

// credential reads one, of which what is no ticket for a service, such as the
// cache's own settings, has no key.
func (r *ccacheReader) credential() *Ticket {
	t := &Ticket{Client: r.principal(), Service: r.principal()}
	etype := int32(int16(r.uint16()))
	if r.version == 0x0503 {
		r.uint16() // the enctype again
	}
	t.Session = types.EncryptionKey{KeyType: etype, KeyValue: r.data()}
	t.AuthTime, t.Start, t.End = r.time(), r.time(), r.time()
	r.uint32() // until when it can be renewed
	r.take(1)  // for user to user
	t.Flags = r.uint32()
	for range 2 { // addresses, authorization data
		for n := r.uint32(); n > 0 && !r.bad; n-- {
			r.uint16()
			r.data()
		}
	}
	t.der = r.data()
	r.data() // second ticket
	return t
}
