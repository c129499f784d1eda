package krb5

import (
	"bufio"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/testenv"
)

// accepts is how many tickets one round accepts.
const accepts = 4000

// BenchmarkBesideMIT accepts the same tickets with MIT's libraries and with
// ours, each with the replay cache that it has in service, in turns, on one
// thread. It prints accepts a second of both, and how many times MIT's ours are
// by the clock and by the processor time that they take, and how often ours
// allocate for one: medians over the rounds, of which -benchtime=9x makes nine.
func BenchmarkBesideMIT(b *testing.B) {
	program := testenv.Acceptor(b)
	for kind, first := range map[string]func(*testing.B, *Mint) string{"gss": firstGSS, "kpop": firstKPOP} {
		b.Run(kind, func(b *testing.B) {
			var mit, own, times, timesCPU, allocs []float64
			// Ours is made full size, and in service for long; MIT's begins empty.
			replay, err := OpenReplay(filepath.Join(b.TempDir(), "replay"), ReplayOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer replay.Close()
			for b.Loop() {
				r := newRound(b, first)
				wall, cpu := r.mit(b, program, kind)
				before := mallocs()
				ownWall, ownCPU := r.own(b, kind, replay)
				allocs = append(allocs, float64(mallocs()-before)/accepts)
				mit, own = append(mit, accepts/wall), append(own, accepts/ownWall)
				times, timesCPU = append(times, wall/ownWall), append(timesCPU, cpu/ownCPU)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(mit), "MIT/s")
			b.ReportMetric(median(own), "own/s")
			b.ReportMetric(median(times), "times-MIT")
			b.ReportMetric(median(timesCPU), "times-MIT-CPU")
			b.ReportMetric(median(allocs), "allocs/accept")
		})
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// A round is what clients send first, and the keys to it.
type round struct {
	mint *Mint
	sent []string
}

func newRound(b *testing.B, first func(*testing.B, *Mint) string) round {
	r := round{mint: newTestMint(b)}
	for range accepts {
		r.sent = append(r.sent, first(b, r.mint))
	}
	return r
}

func firstGSS(b *testing.B, m *Mint) string { return string(newInitiator(b, m).first(b)) }

func firstKPOP(b *testing.B, m *Mint) string {
	return hello(b, m, RequestOptions{Options: RequestMutual})
}

func (r round) mit(b *testing.B, program, kind string) (wall, cpu float64) {
	dir := b.TempDir()
	keytab, file := filepath.Join(dir, "keytab"), filepath.Join(dir, "sent")
	var all []byte
	for _, s := range r.sent {
		all = append(binary.BigEndian.AppendUint32(all, uint32(len(s))), s...)
	}
	if err := r.mint.WriteKeytab(keytab); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, all, 0o600); err != nil {
		b.Fatal(err)
	}
	n, wall, cpu := testenv.RunAcceptor(b, program, kind, keytab, file)
	if n != len(r.sent) {
		b.Fatalf("MIT accepted %d", n)
	}
	return wall, cpu
}

func (r round) own(b *testing.B, kind string, replay ReplayCache) (wall, cpu float64) {
	a := &Acceptor{Keys: r.mint, Replay: replay}
	accept := acceptGSS
	if kind == "kpop" {
		accept = acceptKPOP
	}
	begin, used := time.Now(), processorTime(b)
	for _, s := range r.sent {
		if err := accept(a, s); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begin).Seconds(), (processorTime(b) - used).Seconds()
}

// acceptGSS goes as far as the offer of security layers.
func acceptGSS(a *Acceptor, token string) error {
	x := (&GSSAPI{Acceptor: a}).Start(context.Background(), gssPeer)
	_, _, err := x.Next([]byte(token))
	if err == nil {
		_, _, err = x.Next([]byte{})
	}
	return err
}

// acceptKPOP does what MIT's does on a socket, without a poller, and with the
// buffers that the server's connections have.
func acceptKPOP(a *Acceptor, sent string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	if _, err := unix.Write(pair[1], []byte(sent)); err != nil {
		return err
	}
	buffers.in.Reset(socket(pair[0]))
	buffers.out.Reset(socket(pair[0]))
	if _, err = a.RecvAuth(context.Background(), &buffers, kpopVersion, testPeer); err != nil {
		return err
	}
	return buffers.out.Flush()
}

type socket int

func (s socket) Read(p []byte) (int, error)  { return unix.Read(int(s), p) }
func (s socket) Write(p []byte) (int, error) { return unix.Write(int(s), p) }

// A buffered socket sends what it has before it waits for more.
type buffered struct {
	in  *bufio.Reader
	out *bufio.Writer
}

var buffers = buffered{bufio.NewReader(nil), bufio.NewWriter(nil)}

func (b *buffered) Read(p []byte) (int, error) {
	if b.in.Buffered() == 0 {
		if err := b.out.Flush(); err != nil {
			return 0, err
		}
	}
	return b.in.Read(p)
}

func (b *buffered) Write(p []byte) (int, error) { return b.out.Write(p) }

// processorTime is what this process has used, the garbage collector included.
func processorTime(b *testing.B) time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
