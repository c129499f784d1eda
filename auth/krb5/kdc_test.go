package krb5

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/testenv"
)

// A kpopServer is the least KPOP server on an acceptor. Each session ends up
// in verdicts.
type kpopServer struct {
	addr     string
	verdicts chan kpopVerdict
}

type kpopVerdict struct {
	id  auth.Identity
	err error
}

func serveKPOP(t *testing.T, a *Acceptor) kpopServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := kpopServer{addr: l.Addr().String(), verdicts: make(chan kpopVerdict, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.verdicts <- s.session(t, a, c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return s
}

func (kpopServer) session(t *testing.T, a *Acceptor, c net.Conn) kpopVerdict {
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	id, err := a.RecvAuth(t.Context(), c, kpopVersion, testPeer)
	if err != nil {
		fmt.Fprintf(c, "-ERR %s\r\n", auth.Reason(err))
		return kpopVerdict{id, err}
	}
	fmt.Fprintf(c, "+OK %s\r\n", id.User)
	line, err := bufio.NewReader(c).ReadString('\n')
	io.WriteString(c, "+OK "+line)
	return kpopVerdict{id, err}
}

// A kdcClient runs MIT's krb5_sendauth with what a KDC gave out, or a mint.
type kdcClient struct {
	*testenv.World
	program string
}

func newKDCClient(t *testing.T) kdcClient {
	t.Helper()
	return kdcClient{testenv.Start(t), testenv.Sendauth(t)}
}

// try runs the client, and demands an identity or a reason, and a KRB-ERROR of
// a code.
func (k kdcClient) try(t *testing.T, s kpopServer, cache, service, want string, code int, flags ...string) kpopVerdict {
	t.Helper()
	r := k.RunSendauth(t, k.program, cache, s.addr, service, "QUIT\n", flags...)
	var v kpopVerdict
	select {
	case v = <-s.verdicts:
	case <-time.After(time.Minute):
		t.Fatalf("no session: %v", r)
	}
	switch {
	case code == 0 && (v.err != nil || v.id.User != want || r.Code != 0 || r.Stdout != "+OK "+want+"\r\n+OK QUIT\r\n"):
		t.Errorf("%s at %s, %v: identity %+v, %v\n%v", want, service, flags, v.id, v.err, r)
	case code != 0 && (auth.Reason(v.err) != want || r.Code != 2 || !strings.HasPrefix(r.Stderr, fmt.Sprintf("KRB-ERROR %d: ", code)) || !strings.HasSuffix(r.Stderr, "-ERR "+want+"\n")):
		t.Errorf("%s, %v: %v, want %s\n%v", service, flags, v.err, want, r)
	}
	return v
}

func keytabAt(t testing.TB, path string) *Keytab {
	t.Helper()
	k, err := LoadKeytab(path, KeytabOptions{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Tickets of a real KDC.
func TestKDC(t *testing.T) {
	k := newKDCClient(t)
	s := serveKPOP(t, &Acceptor{Keys: keytabAt(t, k.Keytab), Replay: new(MemoryReplay)})
	alice, carol := k.Kinit(t, "alice"), k.Kinit(t, "carol@PARTNER.TEST")
	saved := filepath.Join(t.TempDir(), "apreq")
	v := k.try(t, s, alice, "pop/localhost", "alice", 0)
	if left := time.Until(v.id.Expires); left < time.Minute || v.id.Attrs["principal"] != "alice@EXAMPLE.TEST" {
		t.Errorf("identity %+v", v.id)
	}
	k.try(t, s, alice, "pop/localhost", "alice", 0, "-mutual")
	k.try(t, s, alice, "pop/pop.example.test", "alice", 0, "-mutual", "-subkey", "-save", saved)
	k.try(t, s, alice, "pop/localhost", "alice", 0, "-pipeline")
	k.try(t, s, k.Kinit(t, "alice/admin"), "pop/localhost", "alice/admin@EXAMPLE.TEST", 0)
	k.try(t, s, "", "pop/localhost", "replayed-authenticator", 34, "-replay", saved)
	k.try(t, s, alice, "imap/localhost", "wrong-service", 35)
	k.try(t, s, carol, "pop/localhost@EXAMPLE.TEST", "realm-not-allowed", 12)
	past := k.PastTicket(t, "alice", "pop/localhost", 2*time.Hour, time.Hour)
	k.try(t, s, past, "pop/localhost", "ticket-expired", 32, "-stale")

	open := serveKPOP(t, &Acceptor{Keys: keytabAt(t, k.Keytab), Replay: new(MemoryReplay), Realms: []string{"EXAMPLE.TEST", "PARTNER.TEST"}})
	k.try(t, open, carol, "pop/localhost@EXAMPLE.TEST", "carol@PARTNER.TEST", 0, "-mutual")
	k.try(t, open, k.Kinit(t, "alice@PARTNER.TEST"), "pop/localhost@EXAMPLE.TEST", "alice@PARTNER.TEST", 0)
}

// MIT's KDC writes a PAC that has signatures and the client's name only, also
// for clients of a realm that it trusts.
func TestKDCPAC(t *testing.T) {
	k := newKDCClient(t)
	s := serveKPOP(t, &Acceptor{Keys: keytabAt(t, k.Keytab), Replay: new(MemoryReplay), PAC: PACRequire, Realms: []string{"EXAMPLE.TEST", "PARTNER.TEST"}})
	for principal, want := range map[string]string{"alice": "alice", "alice/admin": "alice/admin@EXAMPLE.TEST", "carol@PARTNER.TEST": "carol@PARTNER.TEST"} {
		v := k.try(t, s, k.Kinit(t, principal), "pop/localhost@EXAMPLE.TEST", want, 0, "-mutual")
		if len(v.id.Groups) > 0 || v.id.Attrs["sid"] != "" {
			t.Errorf("%s: identity %+v", principal, v.id)
		}
	}
}

// MIT's signatures with the keys of RFC 3962 and RFC 8009.
func TestKDCPACEnctypes(t *testing.T) {
	k := newKDCClient(t)
	for _, etype := range []string{"aes128-cts-hmac-sha1-96", "aes128-cts-hmac-sha256-128", "aes256-cts-hmac-sha384-192"} {
		service := freshService("pac")
		keys := keytabAt(t, k.AddService(t, service, etype))
		s := serveKPOP(t, &Acceptor{Keys: keys, Replay: new(MemoryReplay), PAC: PACRequire})
		k.try(t, s, k.Kinit(t, "alice"), service, "alice", 0)
	}
}

// freshService names a service that nothing else, nor another run of a test,
// has used.
func freshService(kind string) string {
	return "pop/" + kind + "-" + strings.ToLower(rand.Text()) + ".example.test"
}

// A key is replaced while the server runs and its file is looked at again.
func TestKDCRotate(t *testing.T) {
	k := newKDCClient(t)
	service := freshService("rotated")
	path := k.AddService(t, service)
	keys := keytabAt(t, path)
	s := serveKPOP(t, &Acceptor{Keys: keys, Replay: new(MemoryReplay)})
	old := k.Kinit(t, "alice")
	k.try(t, s, old, service, "alice", 0)
	k.Rotate(t, path, service, false)
	if err := keys.Reload(); err != nil {
		t.Fatal(err)
	}
	k.try(t, s, old, service, "alice", 0, "-mutual")
	k.try(t, s, k.Kinit(t, "alice"), service, "alice", 0, "-mutual")
}

// A ticket that is sealed with RC4, because the service has no other key.
func TestKDCWeak(t *testing.T) {
	k := newKDCClient(t)
	s := serveKPOP(t, &Acceptor{Keys: keytabAt(t, k.Keytab), Replay: new(MemoryReplay)})
	service := freshService("weak")
	k.AddService(t, service, "arcfour-hmac")
	cache := k.Kinit(t, "alice")
	k.Ticket(t, cache, service)
	k.try(t, s, cache, service, "weak-enctype", 14)
}

// A mint's tickets, of every enctype, in the hands of MIT's library.
func TestMITSendauth(t *testing.T) {
	k := newKDCClient(t)
	m := newTestMint(t)
	s := serveKPOP(t, &Acceptor{Keys: m, Replay: new(MemoryReplay)})
	cache := filepath.Join(t.TempDir(), "cc")
	for _, etype := range defaultEtypes {
		if err := m.AddKey(popService, uint32(etype), etype); err != nil {
			t.Fatal(err)
		}
		if err := WriteCCache(cache, alice, issue(t, m, alice, popService, TicketOptions{Etype: etype})); err != nil {
			t.Fatal(err)
		}
		k.try(t, s, cache, "pop/localhost", "alice", 0)
		k.try(t, s, cache, "pop/localhost", "alice", 0, "-mutual", "-subkey")
	}
	stranger := serveKPOP(t, &Acceptor{Keys: newTestMint(t), Replay: new(MemoryReplay)})
	k.try(t, stranger, cache, "pop/localhost", "no-key", 45) // it has no key of the last enctype
}
