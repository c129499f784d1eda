package krb5

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"kpopd/auth"
)

// The world of the tests: a realm with one service, and its client.
const (
	testRealm  = "EXAMPLE.TEST"
	otherRealm = "PARTNER.TEST"
)

var (
	popService = principal("pop/localhost@" + testRealm)
	alice      = principal("alice@" + testRealm)
	testPeer   = auth.Peer{Addr: netip.MustParseAddrPort("192.0.2.7:40000"), Local: netip.MustParseAddrPort("192.0.2.1:1109")}
)

func principal(s string) Principal {
	p, err := ParsePrincipal(s)
	if err != nil {
		panic(err)
	}
	return p
}

// A onceMap is a ReplayCache that keeps everything.
type onceMap struct {
	mu   sync.Mutex
	seen map[[32]byte]time.Time
}

func (m *onceMap) Seen(_ context.Context, authenticator []byte, until time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	tag := sha256.Sum256(authenticator)
	_, seen := m.seen[tag]
	if m.seen == nil {
		m.seen = map[[32]byte]time.Time{}
	}
	m.seen[tag] = until
	return seen, nil
}

func newTestMint(t testing.TB) *Mint {
	t.Helper()
	m, err := NewMint(testRealm, "pop/localhost")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newTestAcceptor(t testing.TB) (*Acceptor, *Mint) {
	t.Helper()
	m := newTestMint(t)
	return &Acceptor{Keys: m, Replay: new(onceMap)}, m
}

func issue(t testing.TB, m *Mint, client, service Principal, o TicketOptions) *Ticket {
	t.Helper()
	ticket, err := m.Ticket(client, service, o)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func request(t testing.TB, ticket *Ticket, o RequestOptions) []byte {
	t.Helper()
	b, err := ticket.Request(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// aliceRequest is a valid AP-REQ of alice's.
func aliceRequest(t testing.TB, m *Mint, o RequestOptions) []byte {
	t.Helper()
	return request(t, issue(t, m, alice, popService, TicketOptions{}), o)
}

var quiet = slog.New(slog.DiscardHandler)
