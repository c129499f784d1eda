package maildir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/storetest"
)

func TestDeliveredName(t *testing.T) {
	f := newFixture(t)
	f.store.Hostname = "a/b:c,d é" + strings.Repeat("x", 300)
	f.must(f.store.Deliver(t.Context(), "alice", strings.NewReader("one\ntwo")))
	files := f.files()
	want := `^new/\d+\.M\d{6}P\d+Q\d+\.a\\057b\\072c\\054d\\040\\303\\251x*,S=7,W=10$`
	if len(files) != 1 || !regexp.MustCompile(want).MatchString(files[0]) || len(files[0]) > 200 {
		t.Errorf("files %q, want one that matches %s", files, want)
	}
	f.store.Hostname = ""
	f.must(f.store.Deliver(t.Context(), "alice", strings.NewReader("x\n")))
}

func TestDeliveredModes(t *testing.T) {
	root := t.TempDir()
	if err := newStore(root).Deliver(t.Context(), "alice", strings.NewReader("x\n")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := e.Info()
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A delivery that fails leaves no file.
func TestFailedDelivery(t *testing.T) {
	f := newFixture(t)
	broken := errors.New("broken")
	ctx, cancel := context.WithCancelCause(t.Context())
	endless := readerFunc(func(p []byte) (int, error) {
		cancel(broken)
		return len(p), nil
	})
	if err := f.store.Deliver(ctx, "alice", endless); !errors.Is(err, broken) {
		t.Errorf("Deliver = %v, want the context's cause", err)
	}
	f.want(f.files(), nil)
	f.must(os.Remove(filepath.Join(f.dir, "new")))
	f.must(os.WriteFile(filepath.Join(f.dir, "new"), nil, 0o600))
	if err := f.store.Deliver(t.Context(), "alice", strings.NewReader("x\n")); err == nil {
		t.Error("Deliver succeeded with a file in the place of new")
	}
	f.want(f.files(), []string{"new"})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A panic of the reader leaves no file either.
func TestPanickingReader(t *testing.T) {
	f := newFixture(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		f.store.Deliver(t.Context(), "alice", readerFunc(func([]byte) (int, error) { panic("reader") }))
	}()
	f.want(f.files(), nil)
}

// What crashed deliveries left behind goes after 36 hours, and nothing else.
func TestSweep(t *testing.T) {
	f := newFixture(t)
	for name, age := range map[string]time.Duration{"old": 37, "young": 35, ".dot": 1000} {
		f.put("tmp/"+name, "x")
		then := time.Now().Add(-age * time.Hour)
		f.must(os.Chtimes(filepath.Join(f.dir, "tmp", name), then, then))
	}
	f.put("new/1.a", "one\n")
	then := time.Now().Add(-1000 * time.Hour)
	f.must(os.Chtimes(filepath.Join(f.dir, "new/1.a"), then, then))
	f.must(f.store.Deliver(t.Context(), "alice", strings.NewReader("x\n")))
	files := f.files()
	if len(files) != 4 {
		t.Fatalf("files: %q", files)
	}
	f.want(append(files[:1:1], files[2:]...), []string{"new/1.a", "tmp/.dot", "tmp/young"})
}

// With SaveCRLF all that is delivered stands in its file as on the wire, but
// for the dots, and where there are none to stuff its name says so: whoever
// opens it need not look.
func TestSaveCRLF(t *testing.T) {
	for kind, text := range storetest.Texts {
		f := newFixture(t)
		f.store.SaveCRLF = true
		f.must(f.store.Deliver(t.Context(), "alice", iotest.HalfReader(strings.NewReader(text))))
		size, _, err := maildrop.Measure(strings.NewReader(text))
		f.must(err)
		d := f.open()
		stored := f.text(d, 1)
		again, ready, err := maildrop.Measure(strings.NewReader(stored))
		f.must(err)
		m, err := d.Message(1)
		f.must(err)
		if m.Size != size || again != size || int64(len(stored)) != size {
			t.Errorf("%s: %d octets, %d stored, %d on the wire, want %d", kind, m.Size, len(stored), again, size)
		}
		name := f.files()[0]
		if want := fmt.Sprintf(",S=%d,W=%d", size, size); !strings.Contains(name, want) || strings.HasSuffix(name, ",D=0") != ready {
			t.Errorf("%s: %q, want %s, ready %v", kind, name, want, ready)
		}
		c, err := d.Retrieve(t.Context(), 1)
		f.must(err)
		c.Close()
		if c.WireReady != ready {
			t.Errorf("%s: WireReady %v, want %v", kind, c.WireReady, ready)
		}
	}
}

// Without SaveCRLF a text is kept as it is. A name that says too much is not
// believed.
func TestReadyByName(t *testing.T) {
	text := strings.Repeat("0123456789\r\n", 1000)
	lines := strings.Repeat("0123456789\n", 1000)
	for name, tt := range map[string]struct {
		text string
		want bool
	}{
		"1.a,S=12000,W=12000,D=0": {text, true}, "1.a,S=12000,W=12000": {text, false}, "1.a,S=12000,W=12000,D=1": {text, false},
		"1.a,S=11000,W=12000,D=0": {lines, false}, "1.a,W=12000,D=0": {text, false}, "1.a,S=12000,W=12000,D=0,X": {lines, false},
		"1.a,D=0": {text, true}, "1.b,D=0": {lines, false}, // read
	} {
		f := newFixture(t)
		f.put("new/"+name, tt.text)
		c, err := f.open().Retrieve(t.Context(), 1)
		f.must(err)
		f.must(c.Close())
		if c.WireReady != tt.want {
			t.Errorf("%s: WireReady %v, want %v", name, c.WireReady, tt.want)
		}
	}
}
