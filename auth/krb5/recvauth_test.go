package krb5

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"

	"kpopd/auth"
)

const kpopVersion = "KPOPV1.0"

// A script is a client that says everything at once, and keeps each Write of
// the server.
type script struct {
	io.Reader
	writes []string
}

func (s *script) Write(b []byte) (int, error) {
	s.writes = append(s.writes, string(b))
	return len(b), nil
}

// rest is what the server has left unread.
func (s *script) rest(t *testing.T) string {
	t.Helper()
	b, err := io.ReadAll(s.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func frame(b string) string { return string(appendFrame(nil, []byte(b))) }

// greeting is what every client of Kerberos 5 begins with.
const greeting = "\x00\x00\x00\x13KRB5_SENDAUTH_V1.0\x00\x00\x00\x00\x09KPOPV1.0\x00"

// hello is a whole client's side.
func hello(t testing.TB, m *Mint, o RequestOptions) string {
	return greeting + frame(string(aliceRequest(t, m, o)))
}

// fetchmail: mutual authentication, answered by one octet and then one Write.
func TestRecvAuthMutual(t *testing.T) {
	a, m := newTestAcceptor(t)
	ticket := issue(t, m, alice, popService, TicketOptions{})
	ctime := time.Now()
	c := &script{Reader: strings.NewReader(greeting + frame(string(request(t, ticket, RequestOptions{Options: RequestMutual, Time: ctime}))))}
	id, err := a.RecvAuth(t.Context(), c, kpopVersion, testPeer)
	if err != nil {
		t.Fatal(err)
	}
	if id.User != "alice" || id.Mechanism != "KPOP" || id.Source != "kerberos" {
		t.Errorf("identity %+v", id)
	}
	if len(c.writes) != 2 || c.writes[0] != "\x00" || !strings.HasPrefix(c.writes[1], "\x00\x00\x00\x00\x00\x00\x00\x55\x6f\x53") || len(c.writes[1]) != 4+89 {
		t.Fatalf("server wrote %q", c.writes)
	}
	part, _ := openAPRep(t, ticket, []byte(c.writes[1][8:]))
	if !part.CTime.Equal(ctime.Truncate(time.Second)) || part.Cusec != ctime.Nanosecond()/1000 || part.Subkey.KeyValue != nil || part.SequenceNumber != 0 {
		t.Errorf("AP-REP %+v", part)
	}
	if rest := c.rest(t); rest != "" {
		t.Errorf("left %q unread", rest)
	}
}

// A client that sends a subkey gets it back, as from MIT's library.
func TestRecvAuthSubkey(t *testing.T) {
	a, m := newTestAcceptor(t)
	ticket := issue(t, m, alice, popService, TicketOptions{})
	subkey, err := newSubkey(20)
	if err != nil {
		t.Fatal(err)
	}
	c := &script{Reader: strings.NewReader(greeting + frame(string(request(t, ticket, RequestOptions{Options: RequestMutual, Subkey: subkey}))))}
	if _, err := a.RecvAuth(t.Context(), c, kpopVersion, testPeer); err != nil {
		t.Fatal(err)
	}
	if part, _ := openAPRep(t, ticket, []byte(c.writes[1][8:])); !bytes.Equal(part.Subkey.KeyValue, subkey.KeyValue) {
		t.Error("the subkey did not come back")
	}
}

// Heimdal's push: no mutual authentication, and commands right behind the
// AP-REQ. KfM's clients send all of it without waiting for the status octet.
func TestRecvAuthPipelined(t *testing.T) {
	const commands = "USER alice\r\nPASS hej\r\nSTAT\r\n"
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"at once":            func(r io.Reader) io.Reader { return r },
		"one octet a time":   iotest.OneByteReader,
		"half a time":        iotest.HalfReader,
		"data with the end":  iotest.DataErrReader,
		"buffered elsewhere": func(r io.Reader) io.Reader { return io.MultiReader(io.LimitReader(r, 23), r) },
	} {
		a, m := newTestAcceptor(t)
		c := &script{Reader: reader(strings.NewReader(hello(t, m, RequestOptions{}) + commands))}
		if _, err := a.RecvAuth(t.Context(), c, kpopVersion, testPeer); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(c.writes, []string{"\x00", "\x00\x00\x00\x00"}) {
			t.Errorf("%s: server wrote %q", name, c.writes)
		}
		if rest := c.rest(t); rest != commands {
			t.Errorf("%s: left %q unread", name, rest)
		}
	}
}

// Clients that wait: four separate writes, each answer read before the next.
func TestRecvAuthInTurns(t *testing.T) {
	a, m := newTestAcceptor(t)
	server, client := net.Pipe()
	defer server.Close()
	defer client.Close()
	deadline := time.Now().Add(time.Minute)
	server.SetDeadline(deadline)
	client.SetDeadline(deadline)
	verdict := make(chan error, 1)
	go func() {
		_, err := a.RecvAuth(t.Context(), server, kpopVersion, testPeer)
		verdict <- err
	}()
	say := func(s string) {
		t.Helper()
		if _, err := io.WriteString(client, s); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string) {
		t.Helper()
		b := make([]byte, len(want))
		if _, err := io.ReadFull(client, b); err != nil || string(b) != want {
			t.Fatalf("heard %q, %v; want %q", b, err, want)
		}
	}
	say(greeting[:4])
	say(greeting[4:23])
	say(greeting[23:27])
	say(greeting[27:])
	hear("\x00")
	say(frame(string(aliceRequest(t, m, RequestOptions{}))))
	hear("\x00\x00\x00\x00")
	if err := <-verdict; err != nil {
		t.Error(err)
	}
}

// What is no sendauth of Kerberos 5 gets no answer but a status octet, and is
// read as far as it goes, so that a line of text can reach the client.
func TestRecvAuthStrangers(t *testing.T) {
	v4 := "AUTHV0.1KPOPV0.1" + "\x00\x00\x00\x05" + "tcket"
	for _, test := range []struct {
		name, say string
		want      error
		writes    string
		rest      string
	}{
		{"Kerberos 4", v4, ErrKerberos4, "", ""},
		{"Kerberos 4, more", v4 + "more", ErrKerberos4, "", "more"},
		{"Kerberos 4, largest", "AUTHV0.1KPOPV0.1\x00\x00\x04\xe2" + strings.Repeat("x", 1250), ErrKerberos4, "", ""},
		{"Kerberos 4, too large", "AUTHV0.1KPOPV0.1\x00\x00\x04\xe3xx", ErrKerberos4, "", "xx"},
		{"Kerberos 4, huge", "AUTHV0.1KPOPV0.1\xff\xff\xff\xffxx", ErrKerberos4, "", "xx"},
		{"Kerberos 4, cut", v4[:18], ErrKerberos4, "", ""},
		{"CAPA", "CAPA\r\nQUIT\r\n", ErrNotKerberos, "", "QUIT\r\n"},
		{"USER", "USER alice\r\n", ErrNotKerberos, "", ""},
		{"AUTH", "AUTH\r\nQUIT\r\n", ErrNotKerberos, "", "QUIT\r\n"},
		{"AUTH with a mechanism", "AUTH GSSAPI\r\nx", ErrNotKerberos, "", "x"},
		{"empty lines", "\r\n\r\nQUIT\r\n", ErrNotKerberos, "", "QUIT\r\n"},
		{"bare AUTH", "AUTH\nQUIT", ErrNotKerberos, "", "QUIT"},
		{"no line end", "NOOP", ErrNotKerberos, "", ""},
		{"endless line", strings.Repeat("A", 400), ErrNotKerberos, "", strings.Repeat("A", 400-4-255)},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n", ErrNotKerberos, "", "Host: x\r\n"},
		{"TLS", "\x16\x03\x01\x02\x00\x01", ErrTLSHello, "", "\x00\x01"},
		{"length of nothing", "\x00\x00\x00\x00xx", ErrFrame, "\x01", "xx"},
		{"length of 65", "\x00\x00\x00\x41xx", ErrFrame, "\x01", "xx"},
		{"huge length", "\xff\xff\xff\xffxx", ErrFrame, "\x01", "xx"},
		{"little-endian", "\x13\x00\x00\x00KRB5_SENDAUTH_V1.0\x00", ErrFrame, "\x01", "KRB5_SENDAUTH_V1.0\x00"},
		{"other sendauth", frame("KRB5_SENDAUTH_V2.0\x00") + frame("KPOPV1.0\x00") + "x", ErrSendauthVersion, "\x01", "x"},
		{"sendauth without NUL", frame("KRB5_SENDAUTH_V1.0") + frame("KPOPV1.0\x00"), ErrSendauthVersion, "\x01", ""},
		{"sendauth and more", frame("KRB5_SENDAUTH_V1.0\x00\x00") + frame("KPOPV1.0\x00"), ErrSendauthVersion, "\x01", ""},
		{"sendauth of another end", frame("KRB5_SENDAUTH_V1.0\n") + frame("KPOPV1.0\x00"), ErrSendauthVersion, "\x01", ""},
		{"both wrong", frame("x") + frame("y"), ErrSendauthVersion, "\x01", ""},
		{"application without NUL", greeting[:23] + frame("KPOPV1.0"), ErrAppVersion, "\x02", ""},
		{"application of nothing", greeting[:23] + frame(""), ErrAppVersion, "\x02", ""},
		{"application with a tail", greeting[:23] + frame("KPOPV1.0\x00x"), ErrAppVersion, "\x02", ""},
		{"Eudora's", greeting[:23] + frame("justjunk\x00"), ErrAppVersion, "\x02", ""},
		{"long application", greeting[:23] + "\x7f\xff\xff\xffxx", ErrAppVersion, "\x02", "xx"},
	} {
		a, _ := newTestAcceptor(t)
		c := &script{Reader: strings.NewReader(test.say)}
		id, err := a.RecvAuth(t.Context(), c, kpopVersion, testPeer)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
		if id.User != "" {
			t.Errorf("%s: identity %+v", test.name, id)
		}
		if got := strings.Join(c.writes, ""); got != test.writes {
			t.Errorf("%s: server wrote %q, want %q", test.name, got, test.writes)
		}
		if rest := c.rest(t); rest != test.rest {
			t.Errorf("%s: left %q unread, want %q", test.name, rest, test.rest)
		}
	}
}

// A refusal is a KRB-ERROR in a frame, in one Write, and nothing else.
func TestRecvAuthRefuses(t *testing.T) {
	for name, test := range refusals {
		a, m := newTestAcceptor(t)
		b := test.make(t, a, m)
		c := &script{Reader: strings.NewReader(greeting + frame(string(b)) + "QUIT\r\n")}
		id, err := a.RecvAuth(t.Context(), c, kpopVersion, testPeer)
		if got := auth.Reason(err); got != test.reason || !errors.Is(err, test.class) || id.User != "" {
			t.Errorf("%s: %+v, %v", name, id, err)
		}
		if len(c.writes) != 2 || c.writes[0] != "\x00" || frame(c.writes[1][4:]) != c.writes[1] {
			t.Errorf("%s: server wrote %q", name, c.writes)
			continue
		}
		var msg messages.KRBError
		if err := msg.Unmarshal([]byte(c.writes[1][4:])); err != nil || msg.ErrorCode == 0 || msg.EText == "" || strings.ContainsRune(msg.EText, 0) {
			t.Errorf("%s: KRB-ERROR %+v, %v", name, msg, err)
		}
		if rest := c.rest(t); rest != "QUIT\r\n" && test.reason != "too-long" {
			t.Errorf("%s: left %q unread", name, rest)
		}
	}
}

// What a client said to GSSAPI opens nothing here, and is not used up by being
// shown here first.
func TestRecvAuthForGSS(t *testing.T) {
	g, m := newTestGSSAPI(t)
	i := newInitiator(t, m)
	i.alter = func(step int, token []byte) []byte {
		if step != 0 {
			return token
		}
		apReq, err := parseInitialToken(token)
		if err != nil {
			t.Fatal(err)
		}
		c := &script{Reader: strings.NewReader(greeting + frame(string(apReq)))}
		id, err := g.Acceptor.RecvAuth(t.Context(), c, kpopVersion, testPeer)
		if auth.Reason(err) != "made-for-gssapi" || id.User != "" {
			t.Errorf("%+v, %v", id, err)
		}
		return token
	}
	if _, err := i.login(t, start(t, g)); err != nil {
		t.Error(err)
	}
}

// Lengths that are only announced cost no memory, and a client that goes away
// is an error of the connection wherever it goes.
func TestRecvAuthCut(t *testing.T) {
	a, m := newTestAcceptor(t)
	whole := hello(t, m, RequestOptions{})
	for n := range len(whole) {
		c := &script{Reader: strings.NewReader(whole[:n])}
		if _, err := a.RecvAuth(t.Context(), c, kpopVersion, testPeer); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if len(c.writes) > 1 {
			t.Fatalf("cut at %d: server wrote %q", n, c.writes)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 1000 {
		c := &script{Reader: strings.NewReader(greeting + "\x00\x02\x00\x00\x6e")}
		if _, err := a.RecvAuth(t.Context(), c, kpopVersion, testPeer); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / 1000; each > 16<<10 {
		t.Errorf("%d octets allocated for an AP-REQ that did not come", each)
	}
}

// A connection that fails to write is reported, with the refusal if there is
// one.
func TestRecvAuthBrokenPipe(t *testing.T) {
	a, m := newTestAcceptor(t)
	for i, test := range []struct {
		writes int
		o      RequestOptions
		reason string
	}{{0, RequestOptions{}, "internal"}, {1, RequestOptions{}, "internal"}, {1, RequestOptions{Options: RequestUserToUser}, "user-to-user"}} {
		rw := struct {
			io.Reader
			io.Writer
		}{strings.NewReader(hello(t, m, test.o)), &brokenWriter{test.writes}}
		id, err := a.RecvAuth(t.Context(), rw, kpopVersion, testPeer)
		if !errors.Is(err, io.ErrClosedPipe) || auth.Reason(err) != test.reason || id.User != "" {
			t.Errorf("%d: %+v, %v", i, id, err)
		}
	}
}

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.left == 0 {
		return 0, io.ErrClosedPipe
	}
	w.left--
	return len(b), nil
}

func ExampleAcceptor_RecvAuth() {
	// A realm of its own stands in for the KDC and for the keytab.
	mint, err := NewMint("EXAMPLE.TEST", "pop/localhost")
	if err != nil {
		panic(err)
	}
	ticket, err := mint.Ticket(principal("alice@EXAMPLE.TEST"), principal("pop/localhost@EXAMPLE.TEST"), TicketOptions{})
	if err != nil {
		panic(err)
	}
	apReq, err := ticket.Request(RequestOptions{})
	if err != nil {
		panic(err)
	}
	conn := &script{Reader: strings.NewReader(greeting + frame(string(apReq)))}
	a := &Acceptor{Keys: mint, Replay: new(onceMap)}
	id, err := a.RecvAuth(context.Background(), conn, "KPOPV1.0", auth.Peer{})
	fmt.Println(id.User, id.Attrs["principal"], err)
	// Output: alice alice@EXAMPLE.TEST <nil>
}
