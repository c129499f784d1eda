package ldap

import (
	"crypto/tls"
	"runtime"
	"slices"
	"testing"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
	"golang.org/x/sync/errgroup"

	"kpopd/auth"
	"kpopd/testenv"
)

// BenchmarkBind compares, over LDAPS and in turns, what a pool saves: "dial"
// makes a connection for each bind, "pool" binds on kept ones, and "login" is a
// whole login, a search and a bind, with nothing remembered, and "cached" one
// whose password is. It prints the medians of binds a second, how many times those of "dial" the pool's are, and
// how often a login allocates; -benchtime=9x makes nine turns. What a
// connection costs is mostly what the server's key does: RSA is what the
// directories of companies have, P-256 the quickest there is.
func BenchmarkBind(b *testing.B) {
	for name, isRSA := range map[string]bool{"RSA-2048": true, "P-256": false} {
		b.Run(name, func(b *testing.B) {
			w := testenv.New(b, testenv.Native)
			w.CA.RSA = isRSA
			bindInTurns(b, w)
		})
	}
}

func bindInTurns(b *testing.B, w *testenv.World) {
	dn, secret := "uid=alice,"+testenv.PeopleDN, w.Password("alice")
	conf := Config{
		URLs: []string{w.LDAP(b).TLSURL}, CAs: w.CA.Pool(), BindDN: testenv.ServiceDN,
		BindPassword: func() (auth.Secret, error) { return testenv.ServicePassword, nil },
		BaseDN:       testenv.PeopleDN, Filter: userTemplate("(uid=${user})"), Timeout: time.Minute, PoolSize: 16, // as many as ask, on two processors
	}
	d := openBench(b, conf)
	conf.Remember = time.Hour
	remembering := openBench(b, conf)
	password := auth.Password{User: "alice", Secret: auth.Secret(secret)}
	trust := &tls.Config{RootCAs: w.CA.Pool()}
	var dial, pool, login, cached, times, allocs []float64
	for b.Loop() {
		dial = append(dial, binds(b, 500, func() error {
			c, err := goldap.DialURL(w.LDAP(b).TLSURL, goldap.DialWithTLSConfig(trust))
			if err != nil {
				return err
			}
			defer c.Close()
			return c.Bind(dn, secret)
		}))
		pool = append(pool, binds(b, 5000, func() error {
			return d.bind(b.Context(), dn, dn, password, d.verdicts.Proof(password))
		}))
		times = append(times, pool[len(pool)-1]/dial[len(dial)-1])
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		login = append(login, binds(b, 2500, func() error {
			_, err := d.Authenticate(b.Context(), auth.Peer{}, password)
			return err
		}))
		runtime.ReadMemStats(&after)
		cached = append(cached, binds(b, 100_000, func() error {
			_, err := remembering.Authenticate(b.Context(), auth.Peer{}, password)
			return err
		}))
		allocs = append(allocs, float64(after.Mallocs-before.Mallocs)/2500)
	}
	b.ReportMetric(0, "ns/op")
	for unit, all := range map[string][]float64{"dial/s": dial, "pool/s": pool, "login/s": login, "cached/s": cached, "times-dial": times, "allocs/login": allocs} {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2], unit)
	}
}

func openBench(b *testing.B, conf Config) *Directory {
	d, err := New(conf)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	return d
}

// binds runs n times bind in sixteen goroutines and returns how many a second
// there were.
func binds(b *testing.B, n int, bind func() error) float64 {
	b.Helper()
	begun := time.Now()
	var g errgroup.Group
	g.SetLimit(16)
	for range n {
		g.Go(bind)
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	return float64(n) / time.Since(begun).Seconds()
}
