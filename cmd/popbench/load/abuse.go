package load

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Abuse is who took part besides the load.
type Abuse struct {
	Slow        int   `json:"slow"`
	Silent      int   `json:"silent"`
	Churn       int   `json:"churn"`
	Connections int64 `json:"connections"` // that they made
	Ended       int64 `json:"ended"`       // connections that the server ended
	Refused     int64 `json:"refused"`     // that could not be made
}

// The manners of those who abuse a server.
const (
	octetEvery = 3 * time.Second // of a slow client
	backOff    = time.Second     // after the server ended a connection
	perAbuser  = 50              // abusers with one address
)

// runAbuse measures the load beside clients that are slow, silent, or come and
// go, and before and after that alone: a machine is not always as fast.
func runAbuse(ctx context.Context, o *Options) (*Result, error) {
	before, err := runLoad(ctx, o)
	if err != nil {
		return nil, err
	}
	res, err := runBeside(ctx, o)
	if err != nil {
		return nil, err
	}
	after, err := runLoad(ctx, o)
	if err != nil {
		return nil, err
	}
	if res.RateAlone = (before.Rate + after.Rate) / 2; res.RateAlone > 0 {
		res.Kept = res.Rate / res.RateAlone
	}
	res.Errors += before.Errors + after.Errors
	res.Error = cmp.Or(res.Error, before.Error, after.Error)
	return res, nil
}

// runBeside measures the load beside those who abuse the server.
func runBeside(ctx context.Context, o *Options) (*Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	a := &abusers{o: o, ready: make(chan struct{}, o.Slow+o.Silent+o.Churn)}
	defer a.all.Wait()
	defer cancel()
	a.start(ctx)
	for range cap(a.ready) {
		select {
		case <-a.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	res, err := runLoad(ctx, o)
	if err == nil {
		res.Abuse = &Abuse{o.Slow, o.Silent, o.Churn, a.made.Load(), a.ended.Load(), a.refused.Load()}
	}
	return res, err
}

// abusers are goroutines with a connection each.
type abusers struct {
	o                    *Options
	all                  sync.WaitGroup
	made, ended, refused atomic.Int64
	ready                chan struct{} // gets one of each that has begun
}

func (a *abusers) start(ctx context.Context) {
	id := 0
	several := func(n int, manner func(context.Context, net.Conn) bool) {
		for range n {
			source := a.source(id)
			id++
			a.all.Go(func() { a.behave(ctx, source, manner) })
		}
	}
	several(a.o.Slow, slow)
	several(a.o.Silent, silent)
	several(a.o.Churn, a.churn)
}

// source returns where an abuser comes from: on loopback from addresses of its
// own, for a server that limits each.
func (a *abusers) source(id int) netip.AddrPort {
	if !a.o.Target.Addr().Is4() || !a.o.Target.Addr().IsLoopback() {
		return netip.AddrPort{}
	}
	n := 1 + id/perAbuser
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 1, byte(n >> 8), byte(n)}), 0)
}

// behave connects again and again, and hands each connection to a manner, which
// says whether the server ended it.
func (a *abusers) behave(ctx context.Context, source netip.AddrPort, manner func(context.Context, net.Conn) bool) {
	dialer := newDialer(a.o)
	begun := sync.OnceFunc(func() { a.ready <- struct{}{} })
	defer begun()
	for ctx.Err() == nil {
		conn, err := connect(ctx, &dialer, source, a.o.Target)
		if begun(); err != nil {
			a.refused.Add(1)
			pause(ctx, backOff)
			continue
		}
		a.made.Add(1)
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		ended := manner(ctx, conn)
		stop()
		conn.Close()
		if ended && ctx.Err() == nil {
			a.ended.Add(1)
			pause(ctx, backOff)
		}
	}
}

// slow sends an octet of a command now and then.
func slow(ctx context.Context, conn net.Conn) bool {
	for {
		for _, octet := range []byte("USER somebody\r\n") {
			if _, err := conn.Write([]byte{octet}); err != nil {
				return true
			}
			pause(ctx, octetEvery)
			if ctx.Err() != nil {
				return false
			}
		}
	}
}

// silent says nothing, and waits for the server to end it.
func silent(_ context.Context, conn net.Conn) bool {
	var b [128]byte
	for {
		if _, err := conn.Read(b[:]); err != nil { // ctx ends it, or the server
			return true
		}
	}
}

// churn goes as soon as it came, and comes again after a while.
func (a *abusers) churn(ctx context.Context, conn net.Conn) bool {
	conn.Close()
	pause(ctx, a.o.Pace)
	return false
}

// pause waits, at most until the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
