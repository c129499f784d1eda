package config

import (
	"net"
	"net/netip"
)

// An Address is where a listener listens, as [net.Listen] takes it.
type Address struct {
	Network string // "tcp" or "unix"
	Addr    string // "host:port", where host may be empty, or a path
}

// An Origin is where clients come from: a prefix of addresses, or the Unix
// sockets of this machine.
type Origin struct {
	Prefix netip.Prefix
	Unix   bool
}

// String returns the address as the configuration writes it.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Addr
	}
	return a.Addr
}

// Local reports whether nobody on another machine can reach the address: a
// Unix socket or a loopback address.
func (a Address) Local() bool {
	if a.Network == "unix" {
		return true
	}
	host, _, _ := splitHostPort(a.Addr)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// overlaps reports whether both cannot be bound at once: the same host, or
// every host and one of them, at one port. Port 0 is any free port.
func (a Address) overlaps(b Address) bool {
	if a.Network != b.Network || a.Network == "unix" {
		return a == b
	}
	hostA, portA, _ := splitHostPort(a.Addr)
	hostB, portB, _ := splitHostPort(b.Addr)
	return portA == portB && portA != "0" && (hostA == hostB || everyHost(hostA) || everyHost(hostB))
}

func everyHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// splitHostPort is net.SplitHostPort for a host that is empty, an IP address
// or a host name.
func splitHostPort(s string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", "", false
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !isHostname(host) {
		return "", "", false
	}
	return host, port, true
}

func joinHostPort(host, port string) string { return net.JoinHostPort(host, port) }
