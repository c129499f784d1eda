package ldap

import (
	"crypto/tls"
	"sync/atomic"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
	"kpopd/testenv"
)

// BenchmarkBind compares, over LDAPS and in one run, what a pool saves: "dial"
// makes a connection for each bind, "pool" binds on kept ones, and "login" is a
// whole login, a search and a bind, with nothing remembered.
func BenchmarkBind(b *testing.B) {
	w := testenv.Start(b)
	dn, secret := "uid=alice,"+testenv.PeopleDN, w.Password("alice")
	d, err := New(Config{
		URLs: []string{w.LDAP(b).TLSURL}, CAs: w.CA.Pool(), BindDN: testenv.ServiceDN,
		BindPassword: func() (auth.Secret, error) { return testenv.ServicePassword, nil },
		BaseDN:       testenv.PeopleDN, Filter: userTemplate("(uid=${user})"), Timeout: time.Minute, PoolSize: 16, // as many as ask, on two processors
	})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	password := auth.Password{User: "alice", Secret: auth.Secret(secret)}
	var dial, pool float64
	b.Run("dial", func(b *testing.B) {
		conf := &tls.Config{RootCAs: w.CA.Pool()}
		dial = binds(b, func() error {
			c, err := goldap.DialURL(w.LDAP(b).TLSURL, goldap.DialWithTLSConfig(conf))
			if err != nil {
				return err
			}
			defer c.Close()
			return c.Bind(dn, secret)
		})
	})
	b.Run("pool", func(b *testing.B) {
		pool = binds(b, func() error { return d.bind(b.Context(), dn, dn, password, auth.Proof{}) })
		if dial > 0 {
			b.ReportMetric(pool/dial, "times-dial")
		}
	})
	b.Run("login", func(b *testing.B) {
		binds(b, func() error {
			_, err := d.Authenticate(b.Context(), auth.Peer{}, password)
			return err
		})
	})
}

// binds runs bind in eight goroutines a processor and returns how many a
// second there were.
func binds(b *testing.B, bind func() error) float64 {
	b.ReportAllocs()
	b.SetParallelism(8)
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := bind(); err != nil {
				b.Error(err)
				return
			}
			n.Add(1)
		}
	})
	rate := float64(n.Load()) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "binds/s")
	return rate
}
