package ldap_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/auth/ldap"
	"kpopd/testenv"
)

const (
	sambaZone = "ad.example.test"
	sambaSRV  = "_ldap._tcp." + sambaZone
	sambaHost = "dc1." + sambaZone
)

// discovering is a configuration for the domain controller, which DNS finds.
func discovering(s *testenv.Samba, dns *testenv.DNS, scheme string) ldap.Config {
	dns.Host(sambaHost, s.Addr)
	conf := sambaConfig(s)
	conf.URLs, conf.Discover, conf.Resolver = nil, scheme+"://"+sambaZone, dns.Resolver()
	return conf
}

// logsIn shows alice's password until it is taken, for at most a minute.
func logsIn(t *testing.T, d *ldap.Directory, password string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		_, err := d.Authenticate(ctx, auth.Peer{}, auth.Password{User: "alice", Secret: auth.Secret(password)})
		if err == nil {
			return
		}
		if ctx.Err() != nil || !errors.Is(err, auth.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

// TestDiscover finds a domain controller by the records that one has.
func TestDiscover(t *testing.T) {
	s := testenv.StartSamba(t)
	for _, c := range []struct {
		name, scheme, site, service string
		records                     []net.SRV
	}{
		{"LDAPS", "ldaps", "", "_ldaps._tcp." + sambaZone, []net.SRV{{Target: sambaHost, Port: 636}}},
		{"LDAPS beside LDAP", "ldaps", "", sambaSRV, []net.SRV{{Target: sambaHost, Port: 389}}},
		{"StartTLS", "ldap", "", sambaSRV, []net.SRV{{Target: sambaHost, Port: 389}}},
		{"site", "ldaps", "Berlin", "_ldap._tcp.Berlin._sites." + sambaZone, []net.SRV{{Target: sambaHost, Port: 389}}},
		{"the second", "ldaps", "", sambaSRV, []net.SRV{{Target: "dead." + sambaZone, Port: 389}, {Target: sambaHost, Port: 389, Priority: 1}}},
		{"one of the domain's", "ldaps", "", sambaSRV, []net.SRV{{Target: "dc1.ad.example.test.evil.test", Port: 389}, {Target: sambaHost, Port: 389, Priority: 1}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dns := testenv.StartDNS(t)
			dns.Service(c.service, c.records...)
			conf := discovering(s, dns, c.scheme)
			conf.Site = c.site
			if id, err := try(t, open(t, conf), "alice", s.Password("alice")); err != nil || id.User != "alice" {
				t.Errorf("%+v, %v", id, err)
			}
			if n := dns.Asked("dc1.ad.example.test.evil.test"); n > 0 {
				t.Error("the address of another domain's host was asked for")
			}
		})
	}
}

// TestDiscoverNothing: without a server of the domain, by its name, there is no
// directory; nor in the clear, nor out of a forged answer.
func TestDiscoverNothing(t *testing.T) {
	s := testenv.StartSamba(t)
	for name, records := range map[string][]net.SRV{
		"no record":    nil,
		"no service":   {{Target: ".", Port: 389}},                // RFC 2782: there is decidedly none
		"other domain": {{Target: "dc1.evil.test", Port: 389}},    // for which somebody has a certificate
		"suffix":       {{Target: "evil" + sambaZone, Port: 389}}, // and here
		"other name":   {{Target: "dc2." + sambaZone, Port: 389}}, // which the certificate is not for
		"other port":   {{Target: "dc1." + sambaZone, Port: 88}},  // where no LDAP is spoken
		"no address":   {{Target: "nowhere." + sambaZone, Port: 389}},
	} {
		t.Run(name, func(t *testing.T) {
			dns := testenv.StartDNS(t)
			for _, host := range []string{"dc1.evil.test", "evil" + sambaZone, "dc2." + sambaZone} {
				dns.Host(host, s.Addr)
			}
			dns.Service(sambaSRV, records...)
			if _, err := try(t, open(t, discovering(s, dns, "ldaps")), "alice", s.Password("alice")); !errors.Is(err, auth.ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	for _, domain := range []string{"ldaps://", "ldapi://x", "https://corp.example", "ldaps://corp.example:636", "corp.example", "ldap://corp.example"} {
		conf := sambaConfig(s)
		conf.URLs, conf.Discover, conf.Clear = nil, domain, true
		if d, err := ldap.New(conf); err == nil {
			d.Close()
			t.Errorf("%s is a domain to find servers of", domain)
		}
	}
}

// TestDiscoverAgain: servers that come are found, and those that were known
// stay while DNS is out of order.
func TestDiscoverAgain(t *testing.T) {
	s := testenv.StartSamba(t)
	dns := testenv.StartDNS(t)
	conf := discovering(s, dns, "ldaps")
	conf.DiscoverEvery = 20 * time.Millisecond
	d := open(t, conf)
	if _, err := try(t, d, "alice", s.Password("alice")); !errors.Is(err, auth.ErrUnavailable) {
		t.Error(err)
	}
	dns.Service(sambaSRV, net.SRV{Target: sambaHost, Port: 389})
	logsIn(t, d, s.Password("alice"))
	dns.Refuse(true)
	awaitAsked(t, dns, sambaSRV)
	if _, err := try(t, d, "alice", s.Password("alice")); err != nil {
		t.Errorf("without DNS: %v", err)
	}
	dns.Refuse(false)
	dns.Host("dead."+sambaZone, "127.0.0.1")
	dns.Service(sambaSRV, net.SRV{Target: "dead." + sambaZone, Port: 1}, net.SRV{Target: sambaHost, Port: 389, Priority: 1})
	awaitAsked(t, dns, sambaSRV)
	logsIn(t, d, s.Password("alice"))
}

// awaitAsked returns when a name was asked for three times more: then at least
// one look-up is over.
func awaitAsked(t *testing.T, dns *testenv.DNS, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for was := dns.Asked(name); dns.Asked(name) < was+3; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s is not asked for", name)
		}
	}
}

// TestDiscoverMany: no more servers are tried than is good.
func TestDiscoverMany(t *testing.T) {
	s := testenv.StartSamba(t)
	dns := testenv.StartDNS(t)
	var records []net.SRV
	for i := range 20 {
		host := fmt.Sprintf("dc%d.%s", 100+i, sambaZone)
		dns.Host(host, "127.0.0.1")
		records = append(records, net.SRV{Target: host, Port: 1, Priority: uint16(i)})
	}
	dns.Service(sambaSRV, records...)
	_, err := try(t, open(t, discovering(s, dns, "ldaps")), "alice", s.Password("alice"))
	if n := strings.Count(fmt.Sprint(err), "://dc"); !errors.Is(err, auth.ErrUnavailable) || n != 16 {
		t.Errorf("%d servers were tried: %v", n, err)
	}
	if first, last := strings.Index(fmt.Sprint(err), "dc100."), strings.Index(fmt.Sprint(err), "dc115."); first < 0 || last < first {
		t.Errorf("the order is not that of the priorities: %v", err)
	}
}
