package server_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"kpopd/server"
)

func TestLimits(t *testing.T) {
	tests := []struct {
		name   string
		limits server.Limits
		allow  []netip.Prefix
		from   string // addresses; "!" before one that is turned away, "-" before one that leaves
	}{
		{"none", server.Limits{}, nil, "192.0.2.1 192.0.2.1 192.0.2.1"},
		{"all", server.Limits{Conns: 2}, nil, "192.0.2.1 192.0.2.2 !192.0.2.3 -192.0.2.1 192.0.2.3"},
		{"one IPv4 address", server.Limits{PerAddress: 2}, nil, "192.0.2.1 192.0.2.1 !192.0.2.1 192.0.2.2 -192.0.2.1 192.0.2.1"},
		{"IPv4 in IPv6 is IPv4", server.Limits{PerAddress: 1}, nil, "192.0.2.1 !::ffff:192.0.2.1 ::ffff:192.0.2.2 !192.0.2.2"},
		{"one IPv6 /64", server.Limits{PerAddress: 2}, nil,
			"2001:db8::1 2001:db8::ffff:2 !2001:db8:0:0:1::3 2001:db8:0:1::1 -2001:db8::1 2001:db8::4"},
		{"a zone is no other network", server.Limits{PerAddress: 1}, nil, "fe80::1%eth0 !fe80::1%eth1"},
		{"networks", server.Limits{}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/10")},
			"192.0.2.1 !198.51.100.1 ::ffff:192.0.2.9 !2001:db8::1 fe80::1%eth0"},
		{"a stranger takes no room", server.Limits{Conns: 1}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			"!198.51.100.1 192.0.2.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playLimits(t, tt.limits, tt.allow, strings.Fields(tt.from)) })
		})
	}
}

func playLimits(t *testing.T, limits server.Limits, allow []netip.Prefix, from []string) {
	f := newFixture(echo)
	f.SetLimits(limits)
	f.endpoint.AllowFrom = allow
	open := map[string][]net.Conn{}
	for _, step := range from {
		addr := strings.TrimLeft(step, "!-")
		if step[0] == '-' {
			open[addr][0].Close()
			open[addr] = open[addr][1:]
			synctest.Wait()
			continue
		}
		c, _ := f.connect(addr)
		line, err := bufio.NewReader(c).ReadString('\n')
		want := "hello\r\n"
		if step[0] == '!' {
			want = "-ERR busy\r\n"
		}
		if line != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", step, line, err, want)
		}
		open[addr] = append(open[addr], c)
	}
	for _, conns := range open {
		for _, c := range conns {
			c.Close()
		}
	}
	f.sessions.Wait()
}

// What is turned away from implicit TLS gets no words in the clear.
func TestTurnAwayTLS(t *testing.T) {
	f := newFixture(echo)
	f.SetLimits(server.Limits{Conns: 1})
	first, _ := f.connect("192.0.2.1")
	if line, _ := bufio.NewReader(first).ReadString('\n'); line != "hello\r\n" {
		t.Fatalf("greeting %q", line)
	}
	f.endpoint.Implicit = true
	second, _ := f.connect("192.0.2.1")
	if got, err := io.ReadAll(second); len(got) > 0 || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	first.Close()
	f.sessions.Wait()
}

// A limit that is lowered is one for the connections to come.
func TestSetLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(func(ctx context.Context, c *server.Conn) error { return echo(ctx, c) })
		a, _ := f.connect("192.0.2.1")
		b, _ := f.connect("192.0.2.1")
		ra, rb := bufio.NewReader(a), bufio.NewReader(b)
		expect(t, ra, "hello")
		expect(t, rb, "hello")
		f.SetLimits(server.Limits{Conns: 1})
		io.WriteString(a, "still here\r\n")
		expect(t, ra, "still here")
		c, _ := f.connect("192.0.2.1")
		expect(t, bufio.NewReader(c), "-ERR busy")
		f.SetLimits(server.Limits{Conns: 3})
		d, _ := f.connect("192.0.2.1")
		expect(t, bufio.NewReader(d), "hello")
		for _, c := range []net.Conn{a, b, d} {
			c.Close()
		}
		f.sessions.Wait()
	})
}
