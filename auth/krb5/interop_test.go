package krb5

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kpopd/auth"
)

// These tests run MIT's library and tools on what a Mint writes and against
// what RecvAuth says. They need klist, gcc and the header files of libkrb5
// (Debian: krb5-user, gcc, libkrb5-dev), and fail without them.

// A mitWorld is a configuration of MIT's library with a mint's realm, no KDC
// in reach, and a cache that holds one ticket.
type mitWorld struct {
	dir  string
	mint *Mint
}

func newMITWorld(t *testing.T) mitWorld {
	t.Helper()
	w := mitWorld{dir: t.TempDir(), mint: newTestMint(t)}
	conf := fmt.Sprintf(`[libdefaults]
	default_realm = %[1]s
	dns_canonicalize_hostname = false
	dns_lookup_kdc = false
	rdns = false
[realms]
	%[1]s = {
		kdc = 127.0.0.1:1
	}
[domain_realm]
	localhost = %[1]s
`, testRealm)
	if err := os.WriteFile(filepath.Join(w.dir, "krb5.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	w.hold(t, issue(t, w.mint, alice, popService, TicketOptions{}))
	return w
}

// hold puts a ticket into the cache.
func (w mitWorld) hold(t *testing.T, ticket *Ticket) {
	t.Helper()
	if err := WriteCCache(filepath.Join(w.dir, "cc"), alice, ticket); err != nil {
		t.Fatal(err)
	}
}

func (w mitWorld) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+w.dir,
		"KRB5_CONFIG="+filepath.Join(w.dir, "krb5.conf"), "KRB5CCNAME=FILE:"+filepath.Join(w.dir, "cc"))
	return cmd
}

func TestMITReadsCCache(t *testing.T) {
	w := newMITWorld(t)
	out, err := w.command(t, "klist", "-e", "-f").CombinedOutput()
	if err != nil {
		t.Fatalf("klist: %v\n%s", err, out)
	}
	for _, want := range []string{"Default principal: alice@EXAMPLE.TEST", "pop/localhost@EXAMPLE.TEST", "aes256-cts-hmac-sha1-96", "Flags: IA"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("klist does not say %q:\n%s", want, out)
		}
	}
}

func TestMITReadsKeytab(t *testing.T) {
	w := newMITWorld(t)
	if err := w.mint.AddKey(principal("pop/mail.example.test@EXAMPLE.TEST"), 300, 20); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir, "keytab")
	if err := w.mint.WriteKeytab(path); err != nil {
		t.Fatal(err)
	}
	out, err := w.command(t, "klist", "-k", "-e", path).CombinedOutput()
	if err != nil {
		t.Fatalf("klist -k: %v\n%s", err, out)
	}
	for _, want := range []string{"   1 pop/localhost@EXAMPLE.TEST (aes256-cts-hmac-sha1-96)", " 300 pop/mail.example.test@EXAMPLE.TEST (aes256-cts-hmac-sha384-192)"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("klist -k does not say %q:\n%s", want, out)
		}
	}
}

// buildSendauth compiles the client on MIT's krb5_sendauth.
func buildSendauth(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "sendauth")
	out, err := exec.CommandContext(t.Context(), "gcc", "-Wall", "-o", bin, "testdata/sendauth.c", "-lkrb5").CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return bin
}

// sendauth runs the client against RecvAuth, and returns what each side said.
func (w mitWorld) sendauth(t *testing.T, bin string, a *Acceptor, mutual bool) (string, auth.Identity, error) {
	t.Helper()
	server, client := tcpPair(t)
	file, err := client.File()
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	flag := "0"
	if mutual {
		flag = "1"
	}
	cmd := w.command(t, bin, "pop", "localhost", flag)
	cmd.ExtraFiles = []*os.File{file}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	file.Close()
	id, verdict := a.RecvAuth(t.Context(), server, "KPOPV1.0", testPeer)
	io.WriteString(server, "+OK ready\r\n")
	server.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("client: %v\n%s(server: %v)", err, &out, verdict)
	}
	return out.String(), id, verdict
}

// tcpPair returns the two ends of a connection on loopback, with a deadline.
func tcpPair(t *testing.T) (server, client *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); c.Close() })
	s.SetDeadline(time.Now().Add(time.Minute))
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

func TestMITSendauth(t *testing.T) {
	w := newMITWorld(t)
	bin := buildSendauth(t)
	a := &Acceptor{Keys: w.mint, Replay: new(onceMap)}
	for _, etype := range []int32{17, 18, 19, 20} {
		if err := w.mint.AddKey(popService, uint32(etype), etype); err != nil {
			t.Fatal(err)
		}
		w.hold(t, issue(t, w.mint, alice, popService, TicketOptions{Etype: etype}))
		for _, mutual := range []bool{false, true} {
			out, id, err := w.sendauth(t, bin, a, mutual)
			if err != nil {
				t.Errorf("enctype %d, mutual %t: %v", etype, mutual, err)
			}
			if want := fmt.Sprintf("accepted mutual=%d\n+OK ready\r\n", map[bool]int{true: 1}[mutual]); out != want {
				t.Errorf("enctype %d, mutual %t: client says %q, want %q", etype, mutual, out, want)
			}
			if id.User != "alice" || id.Mechanism != "KPOP" {
				t.Errorf("enctype %d, mutual %t: identity %+v", etype, mutual, id)
			}
		}
	}
}

func TestMITSendauthRejected(t *testing.T) {
	w := newMITWorld(t)
	a := &Acceptor{Keys: newTestMint(t), Replay: new(onceMap)} // another key
	out, _, err := w.sendauth(t, buildSendauth(t), a, true)
	if auth.Reason(err) != "bad-integrity" {
		t.Errorf("server: %v", err)
	}
	if want := "rejected 31 Integrity check failed\n+OK ready\r\n"; out != want {
		t.Errorf("client says %q, want %q", out, want)
	}
}
