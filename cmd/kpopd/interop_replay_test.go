package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"kpopd/testenv"
)

// A tap is an eavesdropper: it passes connections on to a listener, and keeps
// what the clients send.
type tap struct {
	addr   string
	hide   string // lines of the server's that begin so do not pass; "": all do
	mu     sync.Mutex
	client bytes.Buffer
}

// newTap listens for one connection.
func newTap(t testing.TB, to string) *tap { return newHidingTap(t, to, "") }

// newHidingTap is newTap with the beginning of the lines that the client shall
// not see.
func newHidingTap(t testing.TB, to, hide string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{addr: l.Addr().String(), hide: hide}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.pass(t, l, to)
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return p
}

func (p *tap) pass(t testing.TB, l net.Listener, to string) {
	in, err := l.Accept()
	if err != nil {
		return // the test ended
	}
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		t.Error(err)
		return
	}
	defer out.Close()
	var wait sync.WaitGroup
	wait.Go(func() {
		io.Copy(io.MultiWriter(out, p), in)
		out.(*net.TCPConn).CloseWrite()
	})
	p.answer(in, out)
	in.Close()
	wait.Wait()
}

// answer passes on what the server says.
func (p *tap) answer(in io.Writer, out io.Reader) {
	if p.hide == "" {
		io.Copy(in, out)
		return
	}
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\n')
		if !strings.HasPrefix(line, p.hide) {
			io.WriteString(in, line)
		}
		if err != nil {
			return
		}
	}
}

func (p *tap) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client.Write(b)
}

func (p *tap) heard() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.client.Bytes())
}

// TestReplay replays what fetchmail sent over KPOP: to the same server, to
// another process that serves the same site, and to a third that was started
// when both had been killed.
func TestReplay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deliver(t, "alice", 1)
	d := s.start(t)
	heard := newTap(t, d.addrs["kpop"])
	cache := s.world.Kinit(t, "alice")
	f := s.newFetchmail(t, cache, "proto KPOP auth kerberos_v5 plugin 'socat STDIO TCP:"+heard.addr+"'", "user alice keep "+noTLS)
	f.poll(t).exits(t, 0)
	apReq := heardAPREQ(t, heard.heard())

	second := s.start(t)
	for _, d := range []*daemon{d, second} {
		replayed(t, d, heard.heard())
		refusedKPOP(t, d, apReq, "replayed-authenticator", 34)
	}
	for _, d := range []*daemon{d, second} {
		d.kill()
		<-d.ended
	}
	third := s.start(t)
	replayed(t, third, heard.heard())
	refusedGSSAPI(t, third, gssToken(apReq), "bad-gss-checksum") // it was not made for GSS
	s.newFetchmail(t, cache, third.kpopServer(), "user alice keep "+noTLS).poll(t).exits(t, 0)
	third.stop(t)
}

// heardAPREQ cuts the AP-REQ out of what a KPOP client sent.
func heardAPREQ(t testing.TB, b []byte) []byte {
	t.Helper()
	rest, ok := bytes.CutPrefix(b, []byte(kpopVersions))
	if !ok || len(rest) < 4 || rest[0] != 0 || rest[1] != 0 {
		t.Fatalf("no KPOP client sends %.80q", b)
	}
	n := int(rest[2])<<8 | int(rest[3])
	if len(rest) < 4+n || rest[4] != 0x6e {
		t.Fatalf("no AP-REQ in %.80q", rest)
	}
	return rest[4 : 4+n]
}

// replayed sends a whole session again: none of its commands may be obeyed.
func replayed(t testing.TB, d *daemon, session []byte) {
	t.Helper()
	mark := d.log.mark()
	c := dial(t, d.addrs["kpop"])
	c.send(session)
	c.octets(1)
	if e := parseKRBError(t, c.frame()); e.Code != 34 || e.Text != "Request is a replay" {
		t.Errorf("KRB-ERROR %v", e)
	}
	if s := c.line(); s != "-ERR [AUTH] Authentication failed" {
		t.Errorf("behind the KRB-ERROR: %q", s)
	}
	c.closed()
	d.refused(t, mark, "replayed-authenticator")
}

// TestReplayRace shows one AP-REQ to two processes at the same time, many
// times: one of them accepts it, the other does not.
func TestReplayRace(t *testing.T) {
	t.Parallel()
	s := newMintedSite(t)
	daemons := []*daemon{s.start(t), s.start(t)}
	for range 25 {
		var all []*client
		apReq := s.aliceRequest(t)
		for i := range 6 {
			c := dial(t, daemons[i%2].addrs["kpop"])
			c.send([]byte(kpopVersions))
			c.octets(1)
			all = append(all, c)
		}
		for _, c := range all {
			c.send(kpopFrame(apReq))
		}
		accepted := 0
		for _, c := range all {
			if len(c.frame()) == 0 {
				accepted++
			}
			c.Close()
		}
		if accepted != 1 {
			t.Fatalf("%d of %d connections accept one AP-REQ", accepted, len(all))
		}
	}
	for _, d := range daemons {
		d.stop(t)
	}
}

// TestReplayByClient replays an AP-REQ that the client on MIT's library saved.
func TestReplayByClient(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	saved := filepath.Join(t.TempDir(), "ap-req")
	s.sendauth(t, d, "alice", "USER alice\nPASS hej\nQUIT\n", "-save", saved)
	mark := d.log.mark()
	r := s.world.RunSendauth(t, testenv.Sendauth(t), "", d.addrs["kpop"], "pop/localhost", "STAT\n", "-replay", saved)
	if r.Code != 2 || r.Stderr != "KRB-ERROR 34: Request is a replay\n-ERR [AUTH] Authentication failed\n" {
		t.Errorf("status %d\n%v", r.Code, r)
	}
	d.refused(t, mark, "replayed-authenticator")
	if b, err := os.ReadFile(saved); err != nil {
		t.Error(err)
	} else {
		refusedKPOP(t, d, b, "replayed-authenticator", 34)
	}
	d.stop(t)
}

// TestReplayGSSAPI replays tokens that fetchmail and curl sent to AUTH GSSAPI,
// and shows them to the KPOP port as well.
func TestReplayGSSAPI(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	cache := s.world.Kinit(t, "alice")
	for name, login := range map[string]func(port string) clientRun{
		"fetchmail": func(port string) clientRun {
			return s.newFetchmail(t, cache, "proto POP3 auth gssapi port "+port, "user alice "+noTLS).poll(t).exits(t, fetchmailNone)
		},
		"curl": func(port string) clientRun {
			return runClient(t, s.world.Env(cache), "", "curl", "-sS", "--login-options", "AUTH=GSSAPI", "-u", ":", "pop3://localhost:"+port).exits(t, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			heard := newTap(t, d.addrs["pop3"])
			_, port, _ := net.SplitHostPort(heard.addr)
			login(port)
			token := heardToken(t, heard.heard())
			refusedGSSAPI(t, d, token, "replayed-authenticator")
			apReq := token[bytes.Index(token, []byte{0x01, 0x00, 0x6e})+2:]
			refusedKPOP(t, d, apReq, "made-for-gssapi", 50) // used or not
			replayedAUTH(t, d, heard.heard())
		})
	}
	d.stop(t)
}

// heardToken is the first token of a client that used AUTH GSSAPI.
func heardToken(t testing.TB, session []byte) []byte {
	t.Helper()
	_, rest, ok := bytes.Cut(session, []byte("AUTH GSSAPI\r\n"))
	line, _, _ := bytes.Cut(rest, []byte("\r\n"))
	token, err := base64.StdEncoding.DecodeString(string(line))
	if !ok || err != nil || len(token) < 100 || token[0] != 0x60 {
		t.Fatalf("no token in %q: %v", session, err)
	}
	return token
}

// replayedAUTH sends a whole session again: nobody is logged in by it.
func replayedAUTH(t testing.TB, d *daemon, session []byte) {
	t.Helper()
	mark := d.log.mark()
	c := dial(t, d.addrs["pop3"])
	c.send(append(session, "QUIT\r\n"...))
	all, err := io.ReadAll(c.r)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(all, []byte("-ERR [AUTH] ")) || bytes.Contains(all, []byte(" messages (")) {
		t.Errorf("a replayed session is answered %q", all)
	}
	d.refused(t, mark, "replayed-authenticator")
}
