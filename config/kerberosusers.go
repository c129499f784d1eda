package config

import (
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A KerberosUsers is an authenticator "kerberos": passwords that a KDC judges.
type KerberosUsers struct {
	Realm string // the users'. Required
	// Krb5Conf says where the realm's KDCs are. Default: "", /etc/krb5.conf.
	Krb5Conf string
	// Keytab has the key of this server by which the KDC proves itself. Default:
	// "", that of the kerberos block, and required without one.
	Keytab string
	// Timeout bounds one check. Default: 5s.
	Timeout time.Duration
	// Cache is how long a right password is remembered, and CacheNegative how
	// long a wrong one, as a keyed hash. Default: 30s and 1m.
	Cache, CacheNegative time.Duration
	// LockoutThreshold is the number of failures at which the KDC locks an
	// account, and LockoutWindow the time within which it counts them; fewer
	// reach it from here. 0: it never locks. Default: 10 and 15m.
	LockoutThreshold int
	LockoutWindow    time.Duration
}

func (a *Authenticator) readKerberosUsers(d *decoder, b *hclsyntax.Block) {
	k := &KerberosUsers{Timeout: 5 * time.Second, Cache: 30 * time.Second, CacheNegative: time.Minute,
		LockoutThreshold: 10, LockoutWindow: 15 * time.Minute}
	a.Place = d.block(b, schema{what: `authenticator "kerberos"`, fields: []field{
		must("realm", value(principalPart(&k.Realm))),
		may("krb5_conf", value(path(&k.Krb5Conf))),
		may("keytab", value(path(&k.Keytab))),
		may("timeout", value(duration(&k.Timeout, time.Second, time.Minute, ""))),
		may("cache", value(duration(&k.Cache, 0, time.Hour, ""))),
		may("cache_negative", value(duration(&k.CacheNegative, 0, time.Hour, ""))),
		may("lockout_threshold", value(number(&k.LockoutThreshold, 0, 1000))),
		may("lockout_window", value(duration(&k.LockoutWindow, time.Minute, 24*time.Hour, ""))),
	}})
	a.checkThreshold(d, k.LockoutThreshold)
	a.Kerberos = k
}

// checkThreshold checks a lockout_threshold.
func (a *Authenticator) checkThreshold(d *decoder, n int) {
	if n == 1 {
		d.errorf(a.At("lockout_threshold"), `Invalid value for "lockout_threshold"`, "No failure at all is fewer than one. It must be 0, or at least 2.")
	}
}
