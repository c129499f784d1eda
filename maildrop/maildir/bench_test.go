package maildir_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kpopd/maildrop"
	"kpopd/maildrop/memory"
)

// fill makes a Maildir of n messages of 4 KB, named by name.
func fill(b *testing.B, n int, name string) string {
	b.Helper()
	root := b.TempDir()
	dir := filepath.Join(root, "alice", "Maildir")
	text := []byte(strings.Repeat(strings.Repeat("x", 63)+"\n", 64))
	for _, sub := range []string{"new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		path := filepath.Join(dir, "cur", fmt.Sprintf(name, 1_700_000_000+i, i))
		if err := os.WriteFile(path, text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return root
}

func open(b *testing.B, root string) *maildrop.Drop {
	b.Helper()
	d, err := maildrop.Open(context.Background(), "alice", new(memory.Locker), newStore(root))
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// BenchmarkOpen is login to listing.
func BenchmarkOpen(b *testing.B) {
	const sized, bare = "%d.M%06dP1234Q1.pop.example.test,S=4096,W=4160:2,S", "%d.M%06dP1234Q1.pop.example.test:2,S"
	for _, bench := range []struct {
		name     string
		messages int
		file     string
	}{
		{"3", 3, sized}, {"10000", 10_000, sized}, {"10000 unsized", 10_000, bare},
	} {
		b.Run(bench.name, func(b *testing.B) {
			root := fill(b, bench.messages, bench.file)
			b.ReportAllocs()
			for b.Loop() {
				open(b, root).Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*bench.messages), "ns/message")
		})
	}
}

func BenchmarkRetrieve(b *testing.B) {
	d := open(b, fill(b, 100, "%d.M%06dP1234Q1.pop.example.test,S=4096,W=4160:2,S"))
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
