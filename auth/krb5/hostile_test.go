package krb5

import (
	"bufio"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

// A crasher is an input that made a function of the library's panic, hang or
// allocate without bound. The file has a line for each: the function, what
// happened and where, the length and the input in hexadecimal.
type crasher struct {
	target, what string
	input        []byte
}

func crashers(t *testing.T) []crasher {
	t.Helper()
	f, err := os.Open("testdata/crashers.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []crasher
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), "\t")
		if len(fields) != 4 {
			t.Fatalf("a line of %d fields", len(fields))
		}
		input, err := hex.DecodeString(fields[3])
		if err != nil || fields[2] != "len="+strconv.Itoa(len(input)) {
			t.Fatalf("%s: %v", fields[2], err)
		}
		all = append(all, crasher{fields[0], fields[1], input})
	}
	if err := lines.Err(); err != nil || len(all) < 40 {
		t.Fatalf("%d crashers, %v", len(all), err)
	}
	return append(all, crasher{"VerifyAPREQ", "PANIC by 109 octets of a stranger", shortestCrasher(t)})
}

// shortestCrasher is an AP-REQ for pop/h@EXAMPLE.TEST whose ciphertexts are of
// one octet.
func shortestCrasher(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString("6e6b3069a003020105a10302010ea20703050000000000a341613f303da003020105a10e1b0c4558414d504c452e54455354" +
		"a2133011a003020102a10a30081b03706f701b0168a311300fa003020112a103020101a203040100a411300fa003020112a103020101a203040100")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCrashers(t *testing.T) {
	for _, c := range crashers(t) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		c.feed(t)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: %s: took %s", c.target, c.what, took)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
			t.Errorf("%s: %s: allocated %d octets", c.target, c.what, n)
		}
	}
}

// feed puts the input where a stranger, or a client, could put it.
func (c crasher) feed(t *testing.T) {
	t.Helper()
	a, m := newTestAcceptor(t)
	refused := func(b []byte, reasons ...string) {
		t.Helper()
		err := checked(t, a, b)
		if !strings.Contains(strings.Join(reasons, " "), auth.Reason(err)) {
			t.Errorf("%s: %s: %v, want %v", c.target, c.what, err, reasons)
		}
	}
	switch name := strings.Fields(c.target)[0]; name {
	case "DecryptMessage":
		etype, err := strconv.Atoi(strings.Fields(c.target)[2])
		if err != nil {
			t.Fatal(err)
		}
		data := types.EncryptedData{EType: int32(etype), KVNO: 1, Cipher: c.input}
		if keyLength(data.EType) != 0 {
			if err := m.AddKey(popService, 1, data.EType); err != nil {
				t.Fatal(err)
			}
		}
		refused(altered(func(_ *apReqMsg, k *ticketMsg) { k.EncPart = data })(t, a, m), "malformed", "weak-enctype")
		refused(altered(func(r *apReqMsg, _ *ticketMsg) { r.Authenticator = data })(t, a, m), "malformed", "weak-enctype")
		if _, err := unseal(key(data.EType, keyLength(data.EType)), 2, data); err == nil {
			t.Errorf("%s opened", c.target)
		}
	case "VerifyAPREQ":
		c.addKey(t, m)
		refused(c.input, "malformed")
		s := &script{Reader: strings.NewReader(greeting + frame(string(c.input)))}
		if _, err := a.RecvAuth(t.Context(), s, kpopVersion, testPeer); auth.Reason(err) != "malformed" {
			t.Errorf("RecvAuth: %s: %v", c.what, err)
		}
	case "Ticket.GetPACType": // the sealed part of a ticket
		refused(sealedTicket(func(*testing.T) []byte { return c.input })(t, a, m), "weak-enctype")
		var part encTicketPart
		if err := unmarshalApp(c.input, asnAppTag.EncTicketPart, &part); err != nil {
			t.Fatal(err)
		}
		b := request(t, issue(t, m, alice, popService, TicketOptions{AuthData: part.AuthData}), RequestOptions{})
		if _, err := a.Accept(t.Context(), b, testPeer); err != nil {
			t.Errorf("%s: %s: %v", c.target, c.what, err)
		}
	case "PAC", "PAC(nil", "KerbValidationInfo", "UPNDNSInfo":
		c.feedPAC(t, a, m)
	default:
		t.Errorf("nothing to feed %q to", name)
	}
}

// feedPAC puts the input where a KDC puts a PAC, and where it puts a buffer of
// one, with a signature that is right.
func (c crasher) feedPAC(t *testing.T, a *Acceptor, m *Mint) {
	t.Helper()
	k, err := m.key(popService, 0)
	if err != nil {
		t.Fatal(err)
	}
	inputs := [][]byte{c.input}
	for _, kind := range []uint32{pacLogonInfo, pacUPNInfo, pacRequestor} {
		inputs = append(inputs, signed(t, k.encryptionKey(), clientInfo("alice", pacTime), pacPart{kind, c.input}))
	}
	a.Log = slog.New(slog.DiscardHandler)
	for _, input := range inputs {
		for _, d := range []types.AuthorizationData{{{ADType: 128, ADData: input}}, pacData(t, input), {{ADType: 1, ADData: input}}} {
			for a.PAC = PACIgnore; a.PAC <= PACRequire; a.PAC++ {
				b := request(t, issue(t, m, alice, popService, TicketOptions{AuthTime: pacTime, AuthData: d}), RequestOptions{})
				if err := checked(t, a, b); err != nil && (a.PAC != PACRequire || !strings.HasPrefix(auth.Reason(err), "pac-")) {
					t.Errorf("%s: %s: %v", c.target, c.what, err)
				}
			}
		}
	}
}

// addKey gives the mint a key of the service that an AP-REQ names, as the
// library reads it: it minds less what stands where than this package does.
func (c crasher) addKey(t *testing.T, m *Mint) {
	t.Helper()
	var req messages.APReq
	if err := req.Unmarshal(c.input); err != nil {
		t.Fatal(err)
	}
	k := req.Ticket
	if err := m.AddKey(principalOf(k.SName, k.Realm), uint32(k.EncPart.KVNO), k.EncPart.EType); err != nil {
		t.Fatal(err)
	}
}

// mutate changes a few octets of b, cuts it, or repeats a part of it.
func mutate(r *rand.Rand, b []byte) []byte {
	out := append([]byte(nil), b...)
	for range 1 + r.IntN(4) {
		if len(out) == 0 {
			break
		}
		i := r.IntN(len(out))
		switch r.IntN(6) {
		case 0:
			out[i] ^= 1 << r.IntN(8)
		case 1:
			out[i] = byte(r.Uint32())
		case 2:
			out[i] = []byte{0, 1, 0x7f, 0x80, 0xff, 0x84}[r.IntN(6)]
		case 3:
			out = append(out[:i], out[min(len(out), i+1+r.IntN(8)):]...)
		case 4:
			j := min(len(out), i+1+r.IntN(16))
			out = append(out[:j:j], out[i:]...)
		case 5:
			out = out[:i]
		}
	}
	return out
}

// mutations runs f on 10,000 mutations and demands that the heap has not grown
// after them.
func mutations(t *testing.T, valid []byte, f func(b []byte)) {
	t.Helper()
	const rounds = 10000
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	f(valid)
	before := heap()
	for i := range rounds {
		b := mutate(r, valid)
		start := time.Now()
		f(b)
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("seed %d, round %d took %s: %x", seed, i, took, b)
		}
	}
	if after := heap(); after > before+8<<20 {
		t.Errorf("seed %d: the heap grew from %d to %d octets", seed, before, after)
	}
}

// checked calls Accept so that a panic of the library's shows, where the
// acceptor would turn it into a refusal.
func checked(t *testing.T, a *Acceptor, b []byte) error {
	t.Helper()
	c, err := a.Accept(t.Context(), b, testPeer)
	switch {
	case err == nil:
		if _, err := c.APRep(&c.SessionKey, &c.Seq); err != nil {
			t.Errorf("no AP-REP to %x: %v", b, err)
		}
	case strings.Contains(err.Error(), "panicked"):
		t.Errorf("the decoder panicked on %x", b)
	}
	return err
}

func TestAcceptMutations(t *testing.T) {
	a, m := newTestAcceptor(t)
	a.Replay = forgetful{}
	valid := aliceRequest(t, m, RequestOptions{Options: RequestMutual})
	mutations(t, valid, func(b []byte) { checked(t, a, b) })
}

// Mutations of what is sealed: a client, or a KDC, that says strange things.
func TestAcceptSealedMutations(t *testing.T) {
	a, m := newTestAcceptor(t)
	a.Replay = forgetful{}
	k, err := m.key(popService, 0)
	if err != nil {
		t.Fatal(err)
	}
	subkey, err := newSubkey(18)
	if err != nil {
		t.Fatal(err)
	}
	seq := uint32(7)
	ticket := issue(t, m, alice, popService, TicketOptions{AuthData: data(1, "\x30\x00"), Transited: "X"})
	apReq := request(t, ticket, RequestOptions{Subkey: subkey, Seq: &seq, AuthData: data(1, "x")})
	reseal := func(e *types.EncryptedData, k types.EncryptionKey, usage uint32, change func([]byte) []byte) {
		plain, err := unseal(k, usage, *e)
		if err != nil {
			t.Fatal(err)
		}
		if *e, err = seal(k, usage, e.KVNO, change(plain)); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for range 1500 {
		change := func(b []byte) []byte { return mutate(r, b) }
		checked(t, a, alter(t, apReq, func(_ *apReqMsg, msg *ticketMsg) {
			reseal(&msg.EncPart, k.encryptionKey(), keyusage.KDC_REP_TICKET, change)
		}))
		checked(t, a, alter(t, apReq, func(req *apReqMsg, _ *ticketMsg) {
			reseal(&req.Authenticator, ticket.Session, keyusage.AP_REQ_AUTHENTICATOR, change)
		}))
	}
}

func TestRecvAuthMutations(t *testing.T) {
	a, m := newTestAcceptor(t)
	a.Replay = forgetful{}
	mutations(t, []byte(hello(t, m, RequestOptions{})), func(b []byte) {
		a.RecvAuth(t.Context(), &script{Reader: strings.NewReader(string(b))}, kpopVersion, testPeer)
	})
}
