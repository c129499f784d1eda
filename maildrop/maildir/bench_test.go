package maildir_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/memory"
)

// The names of benchmarks' messages: with and without sizes.
const (
	sizedName = "%d.M%06dP1234Q1.pop.example.test,S=4096,W=4160:2,S"
	bareName  = "%d.M%06dP1234Q1.pop.example.test:2,S"
)

// fill makes a Maildir of n messages of 4 KB, named by name. All are links to as
// few files as the file system lets, so that a million take seconds.
func fill(b testing.TB, n int, name string) string {
	b.Helper()
	root := b.TempDir()
	dir := filepath.Join(root, "alice", "Maildir")
	text := []byte(strings.Repeat(strings.Repeat("x", 63)+"\n", 64))
	for _, sub := range []string{"new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	const links = 30_000
	var first string
	for i := range n {
		path := filepath.Join(dir, "cur", fmt.Sprintf(name, 1_700_000_000+i, i%1_000_000))
		var err error
		if i%links == 0 {
			first = path
			err = os.WriteFile(path, text, 0o600)
		} else {
			err = os.Link(first, path)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return root
}

func openAlice(b testing.TB, store maildrop.Store) *maildrop.Drop {
	b.Helper()
	d, err := maildrop.Open(context.Background(), "alice", new(memory.Locker), store)
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// BenchmarkOpen is login to listing: cold, of messages that nobody has seen;
// changed, where mail has arrived since the last time; known, as after a
// restart; and warm, where nothing has changed.
func BenchmarkOpen(b *testing.B) {
	for _, messages := range []int{3, 1000, 10_000, 100_000} {
		for kind, name := range map[string]string{"sized": sizedName, "bare": bareName} {
			b.Run(fmt.Sprintf("%d/%s", messages, kind), func(b *testing.B) { benchmarkOpen(b, messages, name) })
		}
	}
}

func benchmarkOpen(b *testing.B, messages int, name string) {
	root, dir := fill(b, messages, name), b.TempDir()
	settle(b, filepath.Join(root, "alice", "Maildir"))
	store := newIndexed(root, dir)
	openAlice(b, store).Close()
	run := func(name string, prepare func(i int) maildrop.Store) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				store := prepare(i)
				b.StartTimer()
				openAlice(b, store).Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*messages), "ns/message")
		})
	}
	run("warm", func(int) maildrop.Store { return store })
	run("known", func(int) maildrop.Store { return newIndexed(root, dir) })
	run("cold", func(i int) maildrop.Store { return newIndexed(root, filepath.Join(dir, fmt.Sprint(i))) })
	run("changed", func(int) maildrop.Store {
		if err := store.Deliver(context.Background(), "alice", strings.NewReader("x\n")); err != nil {
			b.Fatal(err)
		}
		return store
	})
}

// BenchmarkMillion prints what a maildrop of a million messages takes.
func BenchmarkMillion(b *testing.B) {
	const messages = 1_000_000
	root, dir := fill(b, messages, sizedName), b.TempDir()
	settle(b, filepath.Join(root, "alice", "Maildir"))
	for _, kind := range []string{"cold", "known"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				store := newIndexed(root, dir)
				store.Index.Memory = 1 << 30
				d := openAlice(b, store)
				b.ReportMetric(float64(heap())/messages, "octets/message")
				d.Close()
				runtime.KeepAlive(store)
			}
		})
	}
}

// heap returns how many octets are in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkRetrieve(b *testing.B) {
	d := openAlice(b, newStore(fill(b, 100, sizedName)))
	defer d.Close()
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		c, err := d.Retrieve(context.Background(), n%100+1)
		if err != nil {
			b.Fatal(err)
		}
		if got, err := io.ReadFull(c, buf); got != 4096 || err != io.ErrUnexpectedEOF {
			b.Fatal(got, err)
		}
		c.Close()
		n++
	}
}
