package krb5

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

func TestAccept(t *testing.T) {
	for _, etype := range defaultEtypes {
		t.Run(fmt.Sprint(etype), func(t *testing.T) {
			a, m := newTestAcceptor(t)
			if err := m.AddKey(popService, 7, etype); err != nil {
				t.Fatal(err)
			}
			subkey, err := newSubkey(etype)
			if err != nil {
				t.Fatal(err)
			}
			end := time.Now().Add(time.Hour).Truncate(time.Second)
			ticket := issue(t, m, alice, popService, TicketOptions{Etype: etype, End: end})
			seq := uint32(0xfffffff0)
			c, err := a.Accept(t.Context(), request(t, ticket, RequestOptions{Options: RequestMutual, Subkey: subkey, Seq: &seq}), testPeer)
			if err != nil {
				t.Fatal(err)
			}
			if !c.Client.Equal(alice) || !c.Service.Equal(popService) || !c.Mutual || !c.HasSeq || c.Seq != seq {
				t.Errorf("context %+v", c)
			}
			if string(c.Subkey.KeyValue) != string(subkey.KeyValue) || string(c.SessionKey.KeyValue) != string(ticket.Session.KeyValue) {
				t.Error("keys are not those of the ticket and the authenticator")
			}
			id := c.Identity
			if id.User != "alice" || id.Source != "kerberos" || !id.Expires.Equal(end) ||
				id.Attrs["principal"] != "alice@EXAMPLE.TEST" || id.Attrs["realm"] != testRealm {
				t.Errorf("identity %+v", id)
			}
		})
	}
}

func TestAcceptSequence(t *testing.T) {
	zero := uint32(0)
	for _, test := range []struct {
		seq  *uint32
		want bool
	}{{nil, false}, {&zero, true}} {
		a, m := newTestAcceptor(t)
		c, err := a.Accept(t.Context(), aliceRequest(t, m, RequestOptions{Seq: test.seq}), testPeer)
		if err != nil || c.HasSeq != test.want || c.Seq != 0 {
			t.Errorf("sequence number %v: %v, %+v", test.seq, err, c)
		}
	}
}

// Old clients send a signed number. One that 32 bits do not hold counts as none.
func TestAcceptSequenceRange(t *testing.T) {
	for seq, want := range map[int64]bool{
		-1: true, math.MinInt32: true, math.MaxUint32: true, math.MinInt32 - 1: false, math.MaxUint32 + 1: false,
	} {
		a, m := newTestAcceptor(t)
		b := sealedProof(func(p *authenticatorMsg) { p.Seq = big.NewInt(seq) })(t, a, m)
		c, err := a.Accept(t.Context(), b, testPeer)
		if err != nil || c.HasSeq != want || want && c.Seq != uint32(seq) {
			t.Errorf("sequence number %d: %v, %+v", seq, err, c)
		}
	}
}

func TestAcceptRefuses(t *testing.T) {
	for name, test := range refusals {
		t.Run(name, func(t *testing.T) {
			a, m := newTestAcceptor(t)
			b := test.make(t, a, m)
			c, err := a.Accept(t.Context(), b, testPeer)
			if err == nil {
				t.Fatalf("accepted: %+v", c)
			}
			if c != nil {
				t.Error("a context beside the error")
			}
			if got := auth.Reason(err); got != test.reason {
				t.Errorf("reason %q, want %q (%v)", got, test.reason, err)
			}
			if !errors.Is(err, test.class) {
				t.Errorf("%v does not wrap %v", err, test.class)
			}
			if len(err.Error()) > 3000 {
				t.Errorf("an error of %d octets", len(err.Error()))
			}
		})
	}
}

// A refused AP-REQ leaves nothing in the replay cache, except where it was
// refused by it.
func TestAcceptRemembersOnlyVerified(t *testing.T) {
	for name, test := range refusals {
		a, m := newTestAcceptor(t)
		b := test.make(t, a, m)
		cache, ok := a.Replay.(*onceMap)
		if !ok {
			continue
		}
		before := len(cache.seen)
		a.Accept(t.Context(), b, testPeer)
		if len(cache.seen) != before {
			t.Errorf("%s: remembered", name)
		}
	}
}

func TestAcceptCheck(t *testing.T) {
	a, m := newTestAcceptor(t)
	b := aliceRequest(t, m, RequestOptions{Checksum: types.Checksum{CksumType: 0x8003, Checksum: []byte("x")}})
	refusal := auth.Refuse(auth.ErrCredentials, "binding")
	_, err := a.accept(t.Context(), b, testPeer, func(c *Context) error {
		if c.Checksum.CksumType != 0x8003 || !c.Client.Equal(alice) {
			t.Errorf("context %+v", c)
		}
		return refusal
	})
	if err != refusal {
		t.Errorf("error %v, want the check's", err)
	}
	if n := len(a.Replay.(*onceMap).seen); n != 0 {
		t.Errorf("%d authenticators remembered before the check", n)
	}
	if _, err := a.accept(t.Context(), b, testPeer, func(*Context) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestAcceptForeignRealm(t *testing.T) {
	for _, test := range []struct {
		client, user string
		o            TicketOptions
	}{
		{"bob@" + otherRealm, "bob@PARTNER.TEST", TicketOptions{}},
		{"bob@" + otherRealm, "bob@PARTNER.TEST", TicketOptions{Transited: "X.TEST", Flags: TicketTransitedChecked}},
		{"alice/admin@" + testRealm, "alice/admin@EXAMPLE.TEST", TicketOptions{}},
		{`bob\@PARTNER.TEST@` + testRealm, `bob\@PARTNER.TEST@EXAMPLE.TEST`, TicketOptions{}},
		{`a\/b@` + testRealm, `a\/b@EXAMPLE.TEST`, TicketOptions{}},
		{"HOST$@" + testRealm, "HOST$", TicketOptions{}},
	} {
		a, m := newTestAcceptor(t)
		a.Realms = []string{testRealm, otherRealm}
		c, err := a.Accept(t.Context(), request(t, issue(t, m, principal(test.client), popService, test.o), RequestOptions{}), testPeer)
		if err != nil {
			t.Errorf("%s: %v", test.client, err)
		} else if c.Identity.User != test.user || c.Identity.Attrs["principal"] != test.client {
			t.Errorf("%s: identity %+v", test.client, c.Identity)
		}
	}
}

// A key of another service makes its realm no home of ours: alice of there is
// not alice.
func TestAcceptOtherServicesRealm(t *testing.T) {
	a, m := newTestAcceptor(t)
	if err := m.AddKey(principal("host/localhost@"+otherRealm), 1, 18); err != nil {
		t.Fatal(err)
	}
	present := func() []byte {
		return request(t, issue(t, m, principal("alice@"+otherRealm), popService, TicketOptions{}), RequestOptions{})
	}
	if _, err := a.Accept(t.Context(), present(), testPeer); auth.Reason(err) != "realm-not-allowed" {
		t.Errorf("error %v", err)
	}
	a.Realms = []string{testRealm, otherRealm}
	if c, err := a.Accept(t.Context(), present(), testPeer); err != nil || c.Identity.User != "alice@"+otherRealm {
		t.Errorf("identity %+v, %v", c, err)
	}
}

func TestAcceptAddress(t *testing.T) {
	listed := types.HostAddresses{
		{AddrType: 2, Address: []byte{192, 0, 2, 7}},
		{AddrType: 24, Address: netip.MustParseAddr("2001:db8::7").AsSlice()},
	}
	for _, addr := range []string{"192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"} {
		a, m := newTestAcceptor(t)
		a.CheckAddresses = true
		b := request(t, issue(t, m, alice, popService, TicketOptions{Addresses: listed}), RequestOptions{})
		p := auth.Peer{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 1)}
		if _, err := a.Accept(t.Context(), b, p); err != nil {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// Authorization data that may be ignored is, whatever is in it.
func TestAcceptIgnorableAuthData(t *testing.T) {
	for _, d := range []types.AuthorizationData{
		data(1, "\x30\x00"), data(1, ""), data(1, "garbage"), data(128, "\x05\x00\x00\xf2"), data(8, ""), data(4, ""),
	} {
		a, m := newTestAcceptor(t)
		b := request(t, issue(t, m, alice, popService, TicketOptions{AuthData: d}), RequestOptions{AuthData: d})
		if _, err := a.Accept(t.Context(), b, testPeer); err != nil {
			t.Errorf("authorization data %+v: %v", d, err)
		}
	}
}

// Time limits, with a clock that costs no time.
func TestAcceptTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, m := newTestAcceptor(t)
		now := time.Now().Truncate(time.Second)
		ticket := issue(t, m, alice, popService, TicketOptions{Start: now.Add(5 * time.Minute), End: now.Add(time.Hour)})
		at := func(d time.Duration, ctime time.Duration, reason string) {
			t.Helper()
			time.Sleep(time.Until(now.Add(d))) // the clock of the bubble
			_, err := a.Accept(t.Context(), request(t, ticket, RequestOptions{Time: now.Add(ctime)}), testPeer)
			if err == nil && reason != "" || err != nil && auth.Reason(err) != reason {
				t.Errorf("at %s with a client's time of %s: %v, want %q", d, ctime, err, reason)
			}
		}
		at(0, 5*time.Minute, "")
		at(0, 5*time.Minute+time.Microsecond, "clock-skew")
		at(0, -5*time.Minute, "")
		at(0, -5*time.Minute-time.Microsecond, "clock-skew")
		at(65*time.Minute, 65*time.Minute, "")
		at(65*time.Minute+time.Second, 65*time.Minute, "ticket-expired")
		a.MaxSkew = time.Hour
		at(66*time.Minute, 7*time.Minute, "")
	})
}

// What a fast clock's authenticator leaves in the cache lives as long as the
// authenticator is acceptable.
func TestAcceptRemembersLongEnough(t *testing.T) {
	a, m := newTestAcceptor(t)
	ctime := time.Now().Add(4 * time.Minute)
	if _, err := a.Accept(t.Context(), aliceRequest(t, m, RequestOptions{Time: ctime}), testPeer); err != nil {
		t.Fatal(err)
	}
	for _, until := range a.Replay.(*onceMap).seen {
		if until.Before(ctime.Add(5 * time.Minute)) {
			t.Errorf("remembered until %s, acceptable until %s", until, ctime.Add(5*time.Minute))
		}
	}
}

// Of many sessions with the same AP-REQ one is let in.
func TestAcceptOnceOfMany(t *testing.T) {
	a, m := newTestAcceptor(t)
	a.Replay = new(MemoryReplay)
	for range 50 {
		b := aliceRequest(t, m, RequestOptions{})
		var accepted, replayed atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				switch _, err := a.Accept(t.Context(), b, testPeer); {
				case err == nil:
					accepted.Add(1)
				case auth.Reason(err) == "replayed-authenticator":
					replayed.Add(1)
				}
			})
		}
		wg.Wait()
		if accepted.Load() != 1 || replayed.Load() != 7 {
			t.Fatalf("accepted %d times, refused as replays %d times", accepted.Load(), replayed.Load())
		}
	}
}

// A KDC may know the service by a name that the keytab does not have.
func TestAcceptAlias(t *testing.T) {
	a, m := newTestAcceptor(t)
	alias := principal("pop/alias.example.test@" + testRealm)
	c, err := a.Accept(t.Context(), request(t, issue(t, m, alice, popService, TicketOptions{ShownAs: &alias}), RequestOptions{}), testPeer)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Service.Equal(alias) {
		t.Errorf("service %s", c.Service)
	}
}

func BenchmarkAccept(b *testing.B) {
	for _, etype := range defaultEtypes {
		b.Run(fmt.Sprint(etype), func(b *testing.B) {
			a, m := newTestAcceptor(b)
			if err := m.AddKey(popService, 2, etype); err != nil {
				b.Fatal(err)
			}
			a.Replay = forgetful{}
			ap := request(b, issue(b, m, alice, popService, TicketOptions{Etype: etype}), RequestOptions{Options: RequestMutual})
			b.ReportAllocs()
			for b.Loop() {
				c, err := a.Accept(b.Context(), ap, testPeer)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := c.APRep(nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// forgetful is a replay cache for benchmarks.
type forgetful struct{}

func (forgetful) Seen(context.Context, []byte, time.Time) (bool, error) { return false, nil }
