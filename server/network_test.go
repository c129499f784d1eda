package server_test

import (
	"bufio"
	"context"
	"net/netip"
	"testing"
	"testing/synctest"

	"kpopd/server"
)

// says is a handler that says one line.
type says string

func (s says) Serve(_ context.Context, c *server.Conn) error {
	c.Printf("%s\r\n", string(s))
	return nil
}

func TestNetworks(t *testing.T) {
	from := func(prefixes ...string) (all []netip.Prefix) {
		for _, p := range prefixes {
			all = append(all, netip.MustParsePrefix(p))
		}
		return all
	}
	networks := &server.Networks{Else: says("other"), First: []server.Network{
		{Name: "desk", From: from("192.0.2.7/32", "fe80::/64"), Handler: says("desk")},
		{Name: "office", From: from("192.0.2.0/24", "2001:db8::/32"), Handler: says("office")},
		{Name: "never", From: from("192.0.2.0/25"), Handler: says("never")},
	}}
	for addr, want := range map[string]string{
		"192.0.2.7": "desk", "192.0.2.8": "office", "::ffff:192.0.2.8": "office", "::ffff:192.0.2.7": "desk",
		"192.0.3.1": "other", "2001:db8:ffff::1": "office", "2001:db9::": "other", "fe80::1%eth0": "desk", "::1": "other",
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(networks.Serve)
			c, _ := f.connect(addr)
			expect(t, bufio.NewReader(c), want)
			c.Close()
			f.sessions.Wait()
		})
	}
}
