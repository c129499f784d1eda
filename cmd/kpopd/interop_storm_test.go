package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kpopd/auth/krb5"
)

const (
	stormSeed    = 0x6b706f70
	stormRounds  = 10000 // of each kind of message
	stormWarm    = 2000  // of all of them, before the memory is first looked at
	stormWorkers = 6
)

// stormGrowth returns how many octets the process may grow after it is warm: what
// may be garbage before it is collected, and some. The race detector, where there
// is one, never gives back some hundred octets for each connection.
func stormGrowth() int {
	if raceDetector {
		return 96 << 20
	}
	return garbageRoom + 6<<20
}

// A mutator alters messages at random.
type mutator struct{ *rand.Rand }

// mutate returns a copy of b in which something is different: octets, their
// order, the length.
func (r mutator) mutate(b []byte) []byte {
	b = slices.Clone(b)
	for range 1 + r.IntN(4) {
		if len(b) == 0 {
			return append(b, byte(r.Uint32()))
		}
		i, j := r.IntN(len(b)), r.IntN(len(b))
		from, to := min(i, j), max(i, j)
		switch r.IntN(8) {
		case 0:
			b[i] ^= 1 << r.IntN(8)
		case 1:
			b[i] = byte(r.Uint32())
		case 2:
			b[i] = []byte{0, 1, '\r', '\n', ' ', '=', '*', 0x7f, 0x80, 0x84, 0xff}[r.IntN(11)]
		case 3:
			b = b[:i]
		case 4:
			b = slices.Delete(b, from, min(to, from+1+r.IntN(16)))
		case 5:
			b = slices.Insert(b, i, b[from:min(to, from+64)]...)
		case 6:
			b[i], b[j] = b[j], b[i]
		case 7:
			b = slices.Insert(b, i, slices.Repeat([]byte{b[j]}, 1+r.IntN(600))...)
		}
	}
	return b
}

// A storm is one daemon and the messages that it is shown mutations of.
type storm struct {
	d       *daemon
	kpop    [][]byte // AP-REQs
	gss     [][]byte // context tokens
	wrapped []byte   // what a client might answer to the offer of layers
}

func newStorm(t *testing.T, s *mintedSite, d *daemon) *storm {
	w := &storm{d: d}
	for range 64 {
		w.kpop = append(w.kpop, s.aliceRequest(t))
		w.gss = append(w.gss, gssToken(s.request(t, s.alice, s.service, krb5.TicketOptions{}, gssChecksum(krb5.RequestOptions{}))))
	}
	w.wrapped = append([]byte{5, 4, 0, 0xff, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0}, "alice"+strings.Repeat("\x55", 12)...)
	return w
}

// A kind makes one connection's worth of mutations: where to, what, and how
// many there are of it. No connection holds more than the server bears.
type kind struct {
	name string
	make func(*storm, mutator) (listener string, all []byte, n int)
}

var kinds = []kind{
	{"sendauth stream", func(w *storm, r mutator) (string, []byte, int) {
		all := slices.Concat([]byte(kpopVersions), kpopFrame(pick(r, w.kpop)), []byte("USER bob\r\nPASS krb_ticket\r\nQUIT\r\n"))
		return "kpop", r.mutate(all), 1
	}},
	{"AP-REQ", func(w *storm, r mutator) (string, []byte, int) {
		return "kpop", append([]byte(kpopVersions), kpopFrame(r.mutate(pick(r, w.kpop)))...), 1
	}},
	{"GSSAPI token", func(w *storm, r mutator) (string, []byte, int) {
		return "pop3", times(4, func() string { return authLine("GSSAPI", r.mutate(pick(r, w.gss))) }), 4
	}},
	{"GSSAPI line", func(w *storm, r mutator) (string, []byte, int) {
		return "pop3", times(4, func() string { return string(r.mutate([]byte(authLine("GSSAPI", pick(r, w.gss))))) + "\r\n" }), 4
	}},
	{"GSSAPI layer", func(w *storm, r mutator) (string, []byte, int) {
		return "pop3", times(2, func() string {
			return authLine("GSSAPI", pick(r, w.gss)) + strings.TrimPrefix(authLine("", r.mutate(w.wrapped)), "AUTH  ")
		}), 2
	}},
	{"PLAIN response", func(w *storm, r mutator) (string, []byte, int) {
		return "clear", times(4, func() string { return authLine("PLAIN", r.mutate([]byte("\x00bob\x00"+bobPassword))) }), 4
	}},
	{"command", func(w *storm, r mutator) (string, []byte, int) {
		return "clear", times(16, func() string { return string(r.mutate([]byte(pick(r, stormCommands)))) + "\r\n" }), 16
	}},
}

var stormCommands = []string{
	"USER bob", "PASS " + bobPassword, "APOP bob c4c9334bac560ecc979e58001b3e22fb", "CAPA", "STLS", "AUTH", "AUTH PLAIN",
	"AUTH PLAIN =", "AUTH GSSAPI", "QUIT", "STAT", "LIST 1", "RETR 1", "TOP 1 0", "UIDL", "DELE 1", "NOOP", "RSET", "*",
}

func pick[T any](r mutator, of []T) T { return of[r.IntN(len(of))] }

func times(n int, f func() string) []byte {
	var b strings.Builder
	for range n {
		b.WriteString(f())
	}
	return []byte(b.String())
}

// blow sends mutations of one kind from several workers until there were n.
func (w *storm) blow(t *testing.T, k kind, seed uint64, n int) {
	t.Helper()
	var wait sync.WaitGroup
	errs := make([]error, stormWorkers)
	for i := range stormWorkers {
		r := mutator{rand.New(rand.NewPCG(seed, uint64(i)))}
		wait.Go(func() {
			for sent := 0; sent < n/stormWorkers+1 && errs[i] == nil; {
				listener, all, n := k.make(w, r)
				_, errs[i] = converse(w.d.addrs[listener], all)
				sent += n
			}
		})
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("%s: %v\n%.4000s", k.name, err, w.d.log)
	}
}

// TestStorm shows mutations of everything that can be said before a login.
// The process lives, says no word of a panic, lets the next one in, and does
// not grow.
func TestStorm(t *testing.T) {
	t.Parallel()
	s := newMintedSite(t)
	s.Extra = "throttle {\n  enabled = false\n}\n"
	s.write(t, "users", "bob:{PLAIN}"+bobPassword+"\n") // no hashes, which take time by design
	d := s.startEdited(t, `"debug"`, `"info"`)
	w := newStorm(t, s, d)
	t.Logf("seed %#x", uint64(stormSeed))
	for i, k := range kinds {
		w.blow(t, k, uint64(stormSeed+i), stormWarm/len(kinds))
	}
	warm := d.resident(t)
	for i, k := range kinds {
		begin := time.Now()
		w.blow(t, k, uint64(stormSeed+100+i), stormRounds)
		t.Logf("%s: %d mutations in %v", k.name, stormRounds, time.Since(begin).Round(time.Millisecond))
	}
	after := d.resident(t)
	t.Logf("resident: %d KiB after the first %d, %d KiB at the end", warm>>10, stormWarm, after>>10)
	if after > warm+stormGrowth() {
		t.Errorf("the process grew from %d to %d octets", warm, after)
	}
	s.admits(t, d)
	d.calm(t)
	d.stop(t)
	w.reached(t)
}

// reached fails the test unless mutations got as far as they can, be it that
// they change nothing that matters.
func (w *storm) reached(t *testing.T) {
	t.Helper()
	reasons := map[any]int{}
	for _, rec := range w.d.log.records {
		if rec["msg"] == "login" {
			reasons["login"]++
		} else if rec["msg"] == "refused" {
			reasons[rec["reason"]]++
		}
	}
	t.Logf("what became of them: %v", reasons)
	for _, want := range []string{"login", "malformed", "bad-integrity", "replayed-authenticator", "bad-gss-token",
		"bad-wrap-token", "wrong-password", "unknown-user", "authzid-not-allowed", "kpop-version"} {
		if reasons[want] == 0 {
			t.Errorf("no mutation came to %q", want)
		}
	}
}

// resident returns how many octets of the daemon are in memory.
func (d *daemon) resident(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest + " ?")[0])
	if err != nil {
		t.Fatalf("no VmRSS in %s", b)
	}
	return kib << 10
}

// dialQuick connects, for a conversation that lasts no longer than a minute.
func dialQuick(addr string) (*net.TCPConn, error) {
	c, err := net.DialTimeout("tcp", addr, 30*time.Second)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	return c.(*net.TCPConn), nil
}

// isReset reports whether the server closed before it had read everything.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
