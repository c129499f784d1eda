package krb5

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/patype"

	"kpopd/auth"
	"kpopd/testenv"
)

// A middleman stands between a client and a KDC, and answers what he likes. He
// says nothing for as long as the answer is nil.
type middleman struct {
	addr   string
	asked  atomic.Int32
	answer atomic.Pointer[func(request []byte) []byte]
}

func startMiddleman(t testing.TB) *middleman {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &middleman{addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { m.serve(ctx, c) })
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); wg.Wait() })
	return m
}

func (m *middleman) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	m.asked.Add(1)
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return
	}
	request := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, request); err != nil {
		return
	}
	var answer []byte
	if f := m.answer.Load(); f != nil {
		answer = (*f)(request)
	}
	if answer == nil {
		io.Copy(io.Discard, c) // until the client hangs up
		return
	}
	c.Write(answer)
}

func (m *middleman) set(f func(request []byte) []byte) { m.answer.Store(&f) }

// framed puts a message behind its length.
func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// forward asks the real KDC.
func forward(w *testenv.World, request []byte) []byte {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reply, err := askKDC(ctx, net.Dialer{}, w.KDC, request)
	if err != nil {
		panic(err)
	}
	return reply
}

func honest(w *testenv.World) func([]byte) []byte {
	return func(request []byte) []byte { return framed(forward(w, request)) }
}

// refusalOf is a KRB-ERROR with a code and e-data.
func refusalOf(t testing.TB, code int32, data []byte) []byte {
	t.Helper()
	b, err := marshalApp(asnAppTag.KRBError, kdcErrorMsg{PVNO: 5, MsgType: 30, STime: time.Now().UTC().Truncate(time.Second),
		Code: code, Realm: testRealm, SName: popService.name(), EData: data})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKDCOutage: a KDC that is away, or silent, is an outage and soon told, and
// another one or the same is asked again.
func TestKDCOutage(t *testing.T) {
	w := testenv.Start(t)
	silent := startMiddleman(t)
	alone := passwordConfig(t, w, confAt(t, silent.addr))
	alone.Client.Timeout = 200 * time.Millisecond
	p := passwords(t, alone)
	outage := func(p *Passwords, reason string) {
		t.Helper()
		if id, err := try(t, p, "alice", w.Password("alice")); !errors.Is(err, auth.ErrUnavailable) || auth.Reason(err) != reason || id.User != "" {
			t.Errorf("%+v, %v", id, err)
		}
	}
	outage(p, "kdc-unavailable")
	canceled, cancel := context.WithCancel(t.Context())
	alone.Client = &Client{Conf: alone.Client.Conf, Timeout: time.Hour}
	silent.set(func([]byte) []byte { cancel(); return nil })
	if _, err := passwords(t, alone).Authenticate(canceled, testPeer, auth.Password{User: "alice", Secret: "x"}); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("a client that went away: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	down := l.Addr().String()
	l.Close()
	outage(passwords(t, passwordConfig(t, w, confAt(t, down))), "kdc-unavailable")
	none := passwordConfig(t, w, &Conf{lookup: "no"})
	outage(passwords(t, none), "kdc-unavailable")

	silent.set(func([]byte) []byte { return nil })
	both := passwordConfig(t, w, confAt(t, down, silent.addr, w.KDC))
	both.Client.Timeout = 6 * time.Second
	p = passwords(t, both)
	if _, err := try(t, p, "alice", w.Password("alice")); err != nil {
		t.Errorf("with a KDC that is there: %v", err)
	}
	asked := silent.asked.Load()
	if _, err := try(t, p, "alice", w.Password("alice")); err != nil || silent.asked.Load() != asked {
		t.Errorf("the KDC that answered is not asked first: %v", err)
	}
	silent.set(honest(w))
	again := passwordConfig(t, w, confAt(t, silent.addr))
	p = passwords(t, again)
	silent.set(func(b []byte) []byte { silent.set(honest(w)); return []byte{0, 0} }) // cut short once
	if _, err := try(t, p, "alice", w.Password("alice")); err != nil {
		t.Errorf("a KDC that recovered: %v", err)
	}
}

// TestKDCUseless: a KDC that answers nonsense, or that it cannot say, is no
// answer where there is another. That one is asked first from then on, for a
// while.
func TestKDCUseless(t *testing.T) {
	w := testenv.Start(t)
	bad := startMiddleman(t)
	for name, answer := range map[string][]byte{
		"garbage": framed([]byte("HTTP/1.1 400 Bad Request")), "four gigabytes": {0xff, 0xff, 0xff, 0xff, 1}, "cut short": {0},
		"cannot say": framed(refusalOf(t, errorcode.KDC_ERR_SVC_UNAVAILABLE, nil)),
	} {
		bad.set(func([]byte) []byte { return answer })
		client := &Client{Conf: confAt(t, bad.addr, w.KDC), Timeout: time.Minute}
		conf := passwordConfig(t, w, nil)
		conf.Client = client
		p := passwords(t, conf)
		asked := bad.asked.Load()
		for range 3 {
			if _, err := try(t, p, "alice", w.Password("alice")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := bad.asked.Load() - asked; n != 1 {
			t.Errorf("%s: asked %d times", name, n)
		}
		client.failed[bad.addr] = time.Now().Add(-avoidKDC)
		bad.set(honest(w))
		if _, err := try(t, p, "alice", w.Password("alice")); err != nil || bad.asked.Load()-asked != 3 {
			t.Errorf("%s: the first does not get its turn again: %v", name, err)
		}
	}
	bad.set(func([]byte) []byte { return framed(refusalOf(t, errorcode.KDC_ERR_SVC_UNAVAILABLE, nil)) })
	alone := passwords(t, passwordConfig(t, w, confAt(t, bad.addr)))
	if _, err := try(t, alone, "alice", w.Password("alice")); !errors.Is(err, auth.ErrUnavailable) || auth.Reason(err) != "kdc-answer" {
		t.Errorf("nobody can say: %v", err)
	}
}

// TestKDCSlow: an answer that comes octet by octet ends with the exchange's
// time.
func TestKDCSlow(t *testing.T) {
	w := testenv.Start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for _, b := range framed(make([]byte, 1<<17)) { // twenty minutes
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					<-tick.C
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	conf := passwordConfig(t, w, confAt(t, l.Addr().String()))
	conf.Client.Timeout = 300 * time.Millisecond
	if _, err := try(t, passwords(t, conf), "alice", w.Password("alice")); auth.Reason(err) != "kdc-unavailable" {
		t.Error(err)
	}
}

// TestKDCDiscovery: KDCs that DNS knows, by the realm's whole name and no other.
func TestKDCDiscovery(t *testing.T) {
	w := testenv.Start(t)
	host, port, err := net.SplitHostPort(w.KDC)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	const name = "_kerberos._tcp." + testRealm
	none := net.SRV{Target: ".", Port: uint16(n)}
	for _, c := range []struct {
		name    string
		records []net.SRV
		reason  string
	}{
		{"one", []net.SRV{{Target: "kdc.example.test", Port: uint16(n)}}, ""},
		{"none", nil, "kdc-unavailable"},
		{"none, said so", []net.SRV{none}, "kdc-unavailable"},
		{"the second", []net.SRV{{Target: "dead.example.test", Port: 88}, {Target: "kdc.example.test", Port: uint16(n), Priority: 1}}, ""},
	} {
		dns := testenv.StartDNS(t)
		dns.Host("kdc.example.test", host)
		dns.Service(name, c.records...)
		conf := passwordConfig(t, w, nil)
		conf.Client = &Client{Timeout: time.Minute, Resolver: dns.Resolver()}
		if _, err := try(t, passwords(t, conf), "alice", w.Password("alice")); (err == nil) != (c.reason == "") || err != nil && auth.Reason(err) != c.reason {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.records == nil && dns.Asked(name) == 0 {
			t.Errorf("%s: DNS was not asked", c.name)
		}
	}
	dns := testenv.StartDNS(t)
	dns.Refuse(true)
	conf := passwordConfig(t, w, nil)
	conf.Client = &Client{Timeout: time.Minute, Resolver: dns.Resolver()}
	if _, err := try(t, passwords(t, conf), "alice", w.Password("alice")); auth.Reason(err) != "kdc-unavailable" {
		t.Errorf("DNS fails: %v", err)
	}
}

// TestKDCLostProof: a proof whose answer is lost is not sent again, for it may
// have been counted.
func TestKDCLostProof(t *testing.T) {
	w := testenv.Start(t)
	m := startMiddleman(t)
	proofs := 0
	m.set(func(request []byte) []byte {
		if !bytes.Contains(request, []byte{0xa1, 3, 2, 1, byte(patype.PA_ENC_TIMESTAMP), 0xa2}) {
			return framed(forward(w, request))
		}
		proofs++
		return []byte{0}
	})
	p := passwords(t, passwordConfig(t, w, confAt(t, m.addr, m.addr, m.addr)))
	if _, err := try(t, p, "alice", w.Password("alice")); auth.Reason(err) != "kdc-unavailable" || proofs != 1 {
		t.Errorf("%d proofs, %v", proofs, err)
	}
}

// methodData is e-data that asks for a timestamp in an enctype.
func methodData(t testing.TB, info etypeInfo, more ...paData) []byte {
	t.Helper()
	infos, err := asn1.Marshal([]etypeInfo{info})
	if err != nil {
		t.Fatal(err)
	}
	b, err := asn1.Marshal(append([]paData{{patype.PA_ETYPE_INFO2, infos}, {patype.PA_ENC_TIMESTAMP, nil}}, more...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Answers that a KDC does not give.
func TestKDCHostile(t *testing.T) {
	w := testenv.Start(t)
	m := startMiddleman(t)
	conf := passwordConfig(t, w, confAt(t, m.addr))
	conf.Client.Timeout = 20 * time.Second
	p := passwords(t, conf)
	var old []byte
	m.set(func(request []byte) []byte { old = forward(w, request); return framed(old) })
	if _, err := try(t, p, "alice", w.Password("alice")); err != nil {
		t.Fatal(err)
	}
	required := func(data []byte) []byte { return refusalOf(t, errorcode.KDC_ERR_PREAUTH_REQUIRED, data) }
	for name, c := range map[string]struct {
		answer []byte
		reason string
	}{
		"nothing":         {[]byte{}, "kdc-unavailable"},
		"no octets":       {framed(nil), "kdc-answer"},
		"four gigabytes":  {[]byte{0xff, 0xff, 0xff, 0xff, 1}, "kdc-answer"},
		"half":            {framed(old)[:200], "kdc-unavailable"},
		"garbage":         {framed([]byte("HTTP/1.1 400 Bad Request")), "kdc-answer"},
		"replay":          {framed(old), "kdc-answer"},
		"no method":       {framed(required(nil)), "kdc-answer"},
		"bad method":      {framed(required([]byte{0x30, 1, 0xff})), "kdc-answer"},
		"many rounds":     {framed(required(methodData(t, etypeInfo{18, "", []byte{0xff, 0xff, 0xff, 0xff}}))), "kdc-answer"},
		"zero rounds":     {framed(required(methodData(t, etypeInfo{18, "", []byte{0, 0, 0, 0}}))), "kdc-answer"},
		"one round":       {framed(required(methodData(t, etypeInfo{18, "", []byte{0, 0, 0, 1}}))), "kdc-answer"},
		"odd rounds":      {framed(required(methodData(t, etypeInfo{18, "", []byte{1}}))), "kdc-answer"},
		"RC4":             {framed(required(methodData(t, etypeInfo{Etype: 23}))), "weak-enctype"},
		"skew":            {framed(refusalOf(t, errorcode.KRB_AP_ERR_SKEW, nil)), "kdc-clock-skew"},
		"no service":      {framed(refusalOf(t, errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, nil)), "kdc-unknown-service"},
		"unheard of":      {framed(refusalOf(t, -7, nil)), "kdc-answer"},
		"again and again": {framed(required(methodData(t, etypeInfo{Etype: 18}, paData{padataCookie, []byte("cookie")}))), "kdc-answer"},
	} {
		m.set(func([]byte) []byte { return c.answer })
		id, err := try(t, p, "alice", w.Password("alice"))
		if auth.Reason(err) != c.reason || id.User != "" || errors.Is(err, auth.ErrUnavailable) == errors.Is(err, auth.ErrCredentials) {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
	}
	// Another user's answer, in the middle of a conversation.
	bob := passwords(t, passwordConfig(t, w, nil))
	m.set(func(request []byte) []byte {
		return framed(forward(w, bytes.Replace(request, []byte("alice"), []byte("mally"), 1)))
	})
	if _, err := try(t, p, "alice", w.Password("alice")); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("a request that was changed: %v", err)
	}
	if _, err := try(t, bob, "bob", w.Password("bob")); err != nil {
		t.Error(err)
	}
}

// TestPasswordSecret: no error says the password.
func TestPasswordSecret(t *testing.T) {
	w := testenv.Start(t)
	p := passwords(t, passwordConfig(t, w, nil))
	if _, err := try(t, p, "alice", "hunter2hunter2"); err == nil || bytes.Contains([]byte(err.Error()), []byte("hunter2")) {
		t.Error(err)
	}
}
