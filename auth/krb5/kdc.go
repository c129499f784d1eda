package krb5

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	defaultKDCTimeout = 5 * time.Second
	// maxKDCReply bounds an answer: a ticket with the authorization data of a
	// large domain, and what else an AS-REP holds.
	maxKDCReply = 256 << 10
	maxKDCs     = 16
	// maxAsking bounds the exchanges at one time, and with them the sockets and
	// the derivations of keys.
	maxAsking = 32
)

var (
	errNoKDC     = errors.New("krb5: no KDC is known")
	errKDCBusy   = errors.New("krb5: too many exchanges with the KDC are under way")
	errKDCAnswer = errors.New("krb5: malformed answer of a KDC")
)

// A Client gets tickets from KDCs, over TCP. Its fields are set before it is
// used and not changed after; its methods are safe for concurrent use. It
// starts no goroutine and keeps no connection. The library's client is not
// used: it knows no deadline but five seconds a step, allocates as much as a KDC
// says that it will send, and does as many rounds of key derivation as it asks
// for.
type Client struct {
	// Conf says where KDCs are. nil: DNS does.
	Conf *Conf
	// Timeout bounds one AS exchange with all its messages. 0: 5 s.
	Timeout time.Duration

	once   sync.Once
	asking chan struct{}
	mu     sync.Mutex
	last   map[string]string // the KDC that answered last, by realm
}

// begin waits for its turn. The context that it returns ends the exchange.
func (c *Client) begin(ctx context.Context) (context.Context, func(), error) {
	c.once.Do(func() { c.asking, c.last = make(chan struct{}, maxAsking), map[string]string{} })
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(c.Timeout, defaultKDCTimeout))
	select {
	case c.asking <- struct{}{}:
		return ctx, func() { <-c.asking; cancel() }, nil
	case <-ctx.Done():
		cancel()
		return nil, nil, errKDCBusy
	}
}

// kdcs returns the addresses of a realm's KDCs: those of the configuration, else
// those of DNS (RFC 4120 §7.2.3.2), the one that answered last in front.
func (c *Client) kdcs(ctx context.Context, realm string) ([]string, error) {
	conf := cmp.Or(c.Conf, &Conf{})
	addrs := slices.Clone(conf.kdcs[realm])
	if addrs == nil && !isFalse(conf.lookup) {
		_, records, err := net.DefaultResolver.LookupSRV(ctx, "kerberos", "tcp", realm)
		if err != nil {
			return nil, fmt.Errorf("%w for the realm %s: %w", errNoKDC, realm, err)
		}
		for _, r := range records {
			addrs = append(addrs, net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port))))
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%w for the realm %s", errNoKDC, realm)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(addrs, c.last[realm]); i > 0 {
		last := addrs[i]
		addrs = slices.Insert(slices.Delete(addrs, i, i+1), 0, last)
	}
	return addrs[:min(len(addrs), maxKDCs)], nil
}

// ask sends a request that proves nothing to a realm's KDCs in turn, and returns
// the first answer and who gave it. Of several, none gets all the time that
// there is, and a single one is asked twice.
func (c *Client) ask(ctx context.Context, realm string, request []byte) (reply []byte, addr string, err error) {
	addrs, err := c.kdcs(ctx, realm)
	if err != nil {
		return nil, "", err
	}
	if len(addrs) == 1 {
		addrs = append(addrs, addrs[0])
	}
	deadline, _ := ctx.Deadline()
	var errs []error
	for i, addr := range addrs {
		share := time.Until(deadline) / time.Duration(len(addrs)-i)
		try, cancel := context.WithTimeout(ctx, share)
		reply, err := askKDC(try, addr, request)
		cancel()
		if err == nil {
			c.mu.Lock()
			c.last[realm] = addr
			c.mu.Unlock()
			return reply, addr, nil
		}
		errs = append(errs, err)
	}
	return nil, "", errors.Join(errs...)
}

// askKDC sends one request and reads the answer, each behind its length
// (RFC 4120 §7.2.2).
func askKDC(ctx context.Context, addr string, request []byte) ([]byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	message := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(request)), uint32(len(request)))
	if _, err := conn.Write(append(message, request...)); err != nil {
		return nil, fmt.Errorf("KDC %s: %w", addr, err)
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, fmt.Errorf("KDC %s: %w", addr, err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 || n > maxKDCReply { // also the first bit, which is reserved
		return nil, fmt.Errorf("KDC %s: %w: %d octets", addr, errKDCAnswer, n)
	}
	reply := make([]byte, n)
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, fmt.Errorf("KDC %s: %w", addr, err)
	}
	return reply, nil
}
