package testenv

import (
	"context"
	"net"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// A DNS is a name server of a test's own, on loopback, that knows nothing but
// what it is told. A name that it does not know is nobody's (NXDOMAIN).
type DNS struct {
	Addr string // by UDP

	mu      sync.Mutex
	hosts   map[string]string    // IPv4 addresses
	srv     map[string][]net.SRV // services
	asked   map[string]int
	refuses bool
}

// StartDNS starts a name server, which ends with the test.
func StartDNS(t TB) *DNS {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	d := &DNS{Addr: conn.LocalAddr().String(), hosts: map[string]string{}, srv: map[string][]net.SRV{}, asked: map[string]int{}}
	var wg sync.WaitGroup
	wg.Go(func() { d.serve(conn) })
	t.Cleanup(func() { conn.Close(); wg.Wait() })
	return d
}

// Resolver asks d and nobody else.
func (d *DNS) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", d.Addr)
	}}
}

// Host gives a host an address.
func (d *DNS) Host(name, addr string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hosts[key(name)] = addr
}

// Service sets the records of a service, such as "_ldap._tcp.example.test".
// Without any there is no such name.
func (d *DNS) Service(name string, records ...net.SRV) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.srv[key(name)] = records
}

// Refuse makes the server fail at every question (SERVFAIL), or no more.
func (d *DNS) Refuse(yes bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuses = yes
}

// Asked returns how often a name was asked for.
func (d *DNS) Asked(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[key(name)]
}

func key(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func (d *DNS) serve(conn net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		d.answer(&m)
		if reply, err := m.Pack(); err == nil {
			_, _ = conn.WriteTo(reply, from) // who does not get it asks again
		}
	}
}

// answer turns a question into its answer.
func (d *DNS) answer(m *dnsmessage.Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := m.Questions[0]
	name := key(q.Name.String())
	d.asked[name]++
	m.Header = dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true, RecursionDesired: m.RecursionDesired}
	m.Additionals = nil
	addr, host := d.hosts[name]
	header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}
	switch {
	case d.refuses:
		m.RCode = dnsmessage.RCodeServerFailure
	case !host && len(d.srv[name]) == 0:
		m.RCode = dnsmessage.RCodeNameError
	case host && q.Type == dnsmessage.TypeA:
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: [4]byte(net.ParseIP(addr).To4())}})
	case q.Type == dnsmessage.TypeSRV:
		for _, r := range d.srv[name] {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.SRVResource{
				Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: dnsmessage.MustNewName(key(r.Target) + ".")}})
		}
	}
}
