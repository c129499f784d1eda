package ldap

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxServers bounds the servers of a domain that are used.
const maxServers = 16

// discoverRetry is when servers that were not found are looked up again, at
// first. Where they are found Go's resolver does not tell how long a record
// lives.
const discoverRetry = time.Second

var errNoServers = errors.New("no server of the domain is known")

// A discovery is a domain whose servers DNS names.
type discovery struct {
	scheme, domain, site string
	resolver             *net.Resolver
}

// newDiscovery parses "ldaps://corp.example". Passwords do not go in the clear
// to wherever an answer says that nobody vouches for.
func newDiscovery(c *Config) (*discovery, error) {
	u, err := url.Parse(c.Discover)
	if err != nil {
		return nil, err
	}
	domain := strings.ToLower(strings.Trim(u.Hostname(), "."))
	if domain == "" || u.Port() != "" || u.Scheme != "ldaps" && (u.Scheme != "ldap" || c.Clear) {
		return nil, fmt.Errorf("%q is no domain whose servers can be found, with TLS", c.Discover)
	}
	v := &discovery{scheme: u.Scheme, domain: domain, site: c.Site, resolver: c.Resolver}
	if v.resolver == nil {
		v.resolver = net.DefaultResolver
	}
	return v, nil
}

// urls looks the servers up (RFC 2782) and returns them in the order in which
// they are to be asked: those of the site, then all of the domain.
func (v *discovery) urls(ctx context.Context) ([]string, error) {
	var all []string
	var errs []error
	for _, zone := range v.zones() {
		records, err := v.records(ctx, zone)
		for _, r := range records {
			u, err := v.urlOf(r)
			if err != nil {
				errs = append(errs, err)
			} else if !slices.Contains(all, u) && len(all) < maxServers {
				all = append(all, u)
			}
		}
		errs = append(errs, err)
	}
	if len(all) > 0 {
		return all, nil
	}
	return nil, errors.Join(append(errs, errNoServers)...)
}

// zones are where the records are. Active Directory has a domain for the
// servers of each of its sites (MS-ADTS §6.3.2.3).
func (v *discovery) zones() []string {
	if v.site == "" {
		return []string{v.domain}
	}
	return []string{v.site + "._sites." + v.domain, v.domain}
}

// records are those of a zone, by priority and, at random, by weight. For
// ldaps those of ldap will do: Active Directory has no others.
func (v *discovery) records(ctx context.Context, zone string) ([]*net.SRV, error) {
	_, records, err := v.resolver.LookupSRV(ctx, v.scheme, "tcp", zone+".")
	if v.scheme == "ldaps" && len(records) == 0 {
		if _, records, err = v.resolver.LookupSRV(ctx, "ldap", "tcp", zone+"."); err == nil {
			for _, r := range records {
				r.Port = secured(r.Port)
			}
		}
	}
	if len(records) > 0 { // what was wrong with others of them does not matter
		return records, nil
	}
	return nil, err
}

// secured is the port for TLS beside one for LDAP, or for a global catalogue.
func secured(port uint16) uint16 {
	switch port {
	case 389:
		return 636
	case 3268:
		return 3269
	}
	return port
}

// urlOf is the URL of a server. Who can forge an answer could name a host of
// his own, for which he has a certificate: so the host must be the domain's.
func (v *discovery) urlOf(r *net.SRV) (string, error) {
	host := strings.ToLower(strings.TrimSuffix(r.Target, "."))
	if host != v.domain && !strings.HasSuffix(host, "."+v.domain) {
		return "", fmt.Errorf("%q is no server of %s", host, v.domain)
	}
	return v.scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(r.Port))), nil
}

// current returns the servers in the order of preference. With a discovery the
// first to ask waits until they have been looked up, or could not be.
func (d *Directory) current(ctx context.Context) []*server {
	if d.discovery != nil {
		d.begin()
		select {
		case <-d.looked:
		case <-ctx.Done():
		}
	}
	return d.known()
}

func (d *Directory) startDiscovery(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		close(d.looked)
		return
	}
	d.wg.Go(func() { d.discover(ctx) })
}

// discover keeps the servers up to date until ctx ends. Where none is found,
// those that were stay.
func (d *Directory) discover(ctx context.Context) {
	looked := sync.OnceFunc(func() { close(d.looked) })
	for retry := discoverRetry; ; {
		wait, err := d.c.DiscoverEvery, d.refresh(ctx)
		looked()
		if err != nil {
			d.c.Log.Warn("directory servers are not found", "source", d.c.Source, "domain", d.discovery.domain, "err", err)
			wait, retry = min(retry, wait), 2*min(retry, wait)
		} else {
			retry = discoverRetry
		}
		timer := time.NewTimer(wait/2 + rand.N(wait)) // not all processes at once
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// refresh looks the servers up.
func (d *Directory) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.c.Timeout)
	defer cancel()
	urls, err := d.discovery.urls(ctx)
	if err != nil {
		return err
	}
	return d.setServers(urls)
}
