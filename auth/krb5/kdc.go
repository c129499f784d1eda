package krb5

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
)

const (
	defaultKDCTimeout = 5 * time.Second
	// maxKDCReply bounds an answer: a ticket with the authorization data of a
	// large domain, and what else an AS-REP holds.
	maxKDCReply = 256 << 10
	maxKDCs     = 16
	// avoidKDC is how long others are asked before a KDC that was of no use.
	avoidKDC = time.Minute
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
	// Resolver is asked where KDCs are. nil: net.DefaultResolver.
	Resolver *net.Resolver

	once   sync.Once
	asking chan struct{}
	mu     sync.Mutex
	failed map[string]time.Time // when KDCs were of no use, by address
}

// begin waits for its turn. The context that it returns ends the exchange.
func (c *Client) begin(ctx context.Context) (context.Context, func(), error) {
	c.once.Do(func() { c.asking, c.failed = make(chan struct{}, maxAsking), map[string]time.Time{} })
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
// those of DNS. One that was of no use a while ago comes after the others.
func (c *Client) kdcs(ctx context.Context, realm string) ([]string, error) {
	conf := cmp.Or(c.Conf, &Conf{})
	addrs, err := slices.Clone(conf.kdcs[realm]), error(nil)
	if addrs == nil && !isFalse(conf.lookup) {
		addrs, err = c.lookUp(ctx, realm)
	}
	if len(addrs) == 0 {
		return nil, errors.Join(fmt.Errorf("%w for the realm %s", errNoKDC, realm), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.failed, func(_ string, at time.Time) bool { return time.Since(at) > avoidKDC })
	slices.SortStableFunc(addrs, func(a, b string) int { return c.failed[a].Compare(c.failed[b]) })
	return addrs[:min(len(addrs), maxKDCs)], nil
}

// lookUp finds KDCs by DNS (RFC 4120 §7.2.3.2). A target of "." says that there
// is none (RFC 2782).
func (c *Client) lookUp(ctx context.Context, realm string) (addrs []string, err error) {
	_, records, err := cmp.Or(c.Resolver, net.DefaultResolver).LookupSRV(ctx, "kerberos", "tcp", realm+".")
	for _, r := range records {
		if host := strings.TrimSuffix(r.Target, "."); host != "" {
			addrs = append(addrs, net.JoinHostPort(host, strconv.Itoa(int(r.Port))))
		}
	}
	return addrs, err
}

// ask sends a request that proves nothing to a realm's KDCs in turn, and returns
// the first answer that is one, and who gave it. Of several, none gets all the
// time that there is, and a single one is asked twice.
func (c *Client) ask(ctx context.Context, realm string, request []byte) (rep *kdcRepMsg, addr string, err error) {
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
		rep, err := c.askOne(try, addr, request)
		cancel()
		if isAnswer(err) {
			return rep, addr, err
		}
		errs = append(errs, err)
	}
	return nil, "", errors.Join(errs...)
}

// askOne asks one KDC, and notes whether it was of use.
func (c *Client) askOne(ctx context.Context, addr string, request []byte) (rep *kdcRepMsg, err error) {
	reply, err := askKDC(ctx, net.Dialer{Resolver: c.Resolver}, addr, request)
	if err == nil {
		rep, err = parseASReply(reply)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if isAnswer(err) {
		delete(c.failed, addr)
	} else if !errors.Is(ctx.Err(), context.Canceled) { // else nobody waits for it any more
		c.failed[addr] = time.Now()
	}
	return rep, err
}

// isAnswer reports whether a KDC said something about the request: nothing and
// nonsense are none, and neither is that it cannot say (RFC 4120 §7.5.9).
func isAnswer(err error) bool {
	refused, ok := errors.AsType[*kdcError](err)
	return err == nil || ok && refused.code != errorcode.KDC_ERR_SVC_UNAVAILABLE
}

// askKDC sends one request and reads the answer, each behind its length
// (RFC 4120 §7.2.2).
func askKDC(ctx context.Context, d net.Dialer, addr string, request []byte) ([]byte, error) {
	conn, err := d.DialContext(ctx, "tcp", addr)
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
