package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kpopd/maildrop/maildir"
)

const (
	killRounds  = 1000
	killWorkers = 2 // one for each core of a small machine
	killMail    = 16
)

// TestKill kills the server a thousand times at random moments between login
// and the end of QUIT. No message may be lost that an acknowledged QUIT did not
// delete, none may be there twice, and no lock may be left behind.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := killRounds
	if testing.Short() {
		rounds /= 20
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d rounds", seed, rounds)
	var all killStats
	var wait sync.WaitGroup
	for w := range killWorkers {
		k := newKiller(t, rand.New(rand.NewPCG(seed, uint64(w))))
		wait.Go(func() {
			for range rounds / killWorkers {
				if t.Failed() || !k.round() {
					break
				}
			}
			all.add(k.stats)
		})
	}
	wait.Wait()
	t.Logf("killed %d times: %d before DELE, %d before the +OK of QUIT, %d behind it", all.rounds, all.early, all.open, all.acked)
	if !t.Failed() && (all.open == 0 || all.acked == 0 || all.early == 0) {
		t.Errorf("the moments were not spread over the session")
	}
}

type killStats struct {
	mu                         sync.Mutex
	rounds, early, open, acked int
}

func (s *killStats) add(o *killStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rounds += o.rounds
	s.early += o.early
	s.open += o.open
	s.acked += o.acked
}

// A killer has a maildrop and a server of its own, which it kills.
type killer struct {
	t      *testing.T
	rnd    *rand.Rand
	dir    string
	config string
	store  *maildir.Store
	next   int             // number of the next message
	have   map[string]bool // messages that must be there
	maybe  map[string]bool // that may be: their QUIT was not acknowledged
	span   time.Duration   // of a whole session
	stats  *killStats
}

func newKiller(t *testing.T, rnd *rand.Rand) *killer {
	k := &killer{t: t, rnd: rnd, dir: t.TempDir(), have: map[string]bool{}, span: 20 * time.Millisecond, stats: &killStats{}}
	k.store = &maildir.Store{Root: filepath.Join(k.dir, "mail")}
	if err := os.Mkdir(k.store.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(k.dir, "users")
	if err := os.WriteFile(users, []byte("bob:{PLAIN}secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.config = filepath.Join(k.dir, "kpopd.hcl")
	text := fmt.Sprintf(`
hostname  = "localhost"
state_dir = "%[1]s/state"
listener "clear" {
  address           = "127.0.0.1:0"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "any"
}
authenticator "file" "users" {
  path = "%[1]s/users"
}
maildrop "maildir" {
  path = "%[1]s/mail/${maildrop}"
}
log {
  format = "json"
}
`, k.dir)
	if err := os.WriteFile(k.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return k
}

// round delivers what was lost, lets a client delete half of all, kills the
// server meanwhile, and looks at the Maildir. It reports whether to go on.
func (k *killer) round() bool {
	k.fill()
	d := startDaemon(k.t, k.config)
	c, err := net.Dial("tcp", d.addrs["clear"])
	if err != nil {
		k.t.Error(err)
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	k.session(c, d)
	d.kill()
	<-d.ended
	k.stats.rounds++
	return k.inspect()
}

// fill brings the maildrop to its number of messages.
func (k *killer) fill() {
	for len(k.have) < killMail {
		id := fmt.Sprintf("<%d@kill.test>", k.next)
		k.next++
		msg := "Message-ID: " + id + "\n\n" + strings.Repeat("text\n", k.rnd.IntN(100)) + ".\n"
		if err := k.store.Deliver(context.Background(), "bob", strings.NewReader(msg)); err != nil {
			k.t.Error(err)
			return
		}
		k.have[id] = true
	}
}

// session logs in, looks at all messages, marks those of odd numbers and quits,
// all in one write, and takes note of what was acknowledged. The
// server is killed at a random moment of the time that this takes after login.
func (k *killer) session(c net.Conn, d *daemon) {
	if !k.login(c) {
		return
	}
	start := time.Now()
	defer time.AfterFunc(time.Duration(k.rnd.Int64N(int64(k.span)*5/4)), d.kill).Stop()
	ids := k.listing(c)
	if ids == nil {
		k.stats.early++
		return
	}
	var cmd strings.Builder
	deleted := map[string]bool{}
	for i := 0; i < len(ids); i += 2 {
		fmt.Fprintf(&cmd, "DELE %d\r\n", i+1)
		deleted[ids[i]] = true
	}
	cmd.WriteString("QUIT\r\n")
	fmt.Fprint(c, cmd.String())
	if k.acknowledged(c, len(deleted)+1) {
		k.stats.acked++
		k.span = (3*k.span + time.Since(start)) / 4
	} else {
		k.stats.open++
		k.maybe = deleted
	}
	for id := range deleted {
		delete(k.have, id)
	}
}

// acknowledged reads the replies to DELE and QUIT.
func (k *killer) acknowledged(c net.Conn, replies int) bool {
	r := bufio.NewReader(c)
	for range replies {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if !strings.HasPrefix(line, "+OK") {
			k.t.Errorf("DELE or QUIT: %q", line)
		}
	}
	return true
}

// login logs in. A maildrop that is in use is a lock left behind.
func (k *killer) login(c net.Conn) bool {
	fmt.Fprint(c, "USER bob\r\nPASS secret\r\n")
	r := bufio.NewReaderSize(oneByte{c}, 16)
	for i := range 3 {
		line, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "+OK") {
			k.t.Errorf("line %d of the login: %q, %v", i, line, err)
			return false
		}
	}
	return true
}

// oneByte reads no more than it must, so that nothing stays in a buffer.
type oneByte struct{ net.Conn }

func (o oneByte) Read(p []byte) (int, error) { return o.Conn.Read(p[:1]) }

// listing returns the Message-IDs in order, nil if the server ended before.
func (k *killer) listing(c net.Conn) []string {
	r := bufio.NewReader(c)
	var ids []string
	for n := range len(k.have) {
		fmt.Fprintf(c, "TOP %d 0\r\n", n+1)
		id, ok := k.top(r)
		if !ok {
			return nil
		}
		ids = append(ids, id)
	}
	return ids
}

func (k *killer) top(r *bufio.Reader) (id string, ok bool) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", false
		}
		line = strings.TrimRight(line, "\r\n")
		if v, found := strings.CutPrefix(line, "Message-ID: "); found {
			id = v
		}
		if line == "." {
			return id, true
		}
	}
}

// inspect compares the Maildir with what must and may be there.
func (k *killer) inspect() bool {
	found := map[string]int{}
	for _, sub := range []string{"new", "cur"} {
		dir := filepath.Join(k.dir, "mail", "bob", sub)
		entries, err := os.ReadDir(dir)
		if err != nil {
			k.t.Error(err)
			return false
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				k.t.Error(err)
				return false
			}
			id, _, _ := strings.Cut(strings.TrimPrefix(string(text), "Message-ID: "), "\n")
			if !strings.HasSuffix(string(text), "\n.\n") {
				k.t.Errorf("message %s is not whole", id)
			}
			found[id]++
		}
	}
	for id := range k.have {
		if found[id] != 1 {
			k.t.Errorf("message %s, which nobody deleted, is there %d times", id, found[id])
		}
	}
	for id, n := range found {
		switch {
		case n > 1:
			k.t.Errorf("message %s is there %d times", id, n)
		case k.maybe[id]:
			k.have[id] = true // it survived
		case !k.have[id]:
			k.t.Errorf("message %s, which was deleted, is there again", id)
		}
	}
	k.maybe = nil
	return !k.t.Failed()
}
