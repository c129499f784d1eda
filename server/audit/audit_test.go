package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kpopd/server"
	"kpopd/server/audit"
)

// handler is a session that does what a test says.
type handler func(ctx context.Context, c *server.Conn) error

func (h handler) Serve(ctx context.Context, c *server.Conn) error { return h(ctx, c) }

// session runs h on a connection of a server that records to l.
func session(l *audit.Log, h handler) {
	srv := server.Server{Log: slog.New(slog.DiscardHandler), Recorder: l}
	near, far := net.Pipe()
	defer near.Close()
	srv.ServeConn(context.Background(), far, &server.Endpoint{Name: "pop3", Handler: h})
}

// open returns a Log that writes to a new file, what it logs, and the path.
func open(t *testing.T) (*audit.Log, *bytes.Buffer, string) {
	t.Helper()
	var said bytes.Buffer
	path := filepath.Join(t.TempDir(), "audit.log")
	l := audit.New(slog.New(slog.NewTextHandler(&said, nil)))
	l.Swap(openFile(t, path))
	return l, &said, path
}

func openFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := audit.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// records reads a file in which every line has to be a record.
func records(t *testing.T, path string) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range strings.Lines(string(data)) {
		var rec map[string]any
		if err := json.Unmarshal([]byte(line), &rec); err != nil || !strings.HasSuffix(line, "\n") {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, rec)
	}
	return all
}

func closed(t *testing.T, l *audit.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestRecord(t *testing.T) {
	l, said, path := open(t)
	session(l, func(ctx context.Context, c *server.Conn) error {
		c.Record(ctx, server.Event{Kind: server.EventTLS})
		c.Record(ctx, server.Event{Kind: server.EventRefused, User: "a\x1b[31m\u202eb\n" + strings.Repeat("x", 500), Mechanism: "USER",
			Reason: "wrong-password", Err: errors.New("no\nno")})
		c.Record(ctx, server.Event{Kind: server.EventImpersonation, User: "webmail", Maildrop: "bob", Mechanism: "GSSAPI", Source: "kerberos",
			Attrs: []slog.Attr{slog.String("authzid", "bob\xff"), slog.String("rule", "kpopd.hcl:12")}})
		return c.Record(ctx, server.Event{Kind: server.EventUpdate, User: "webmail", Maildrop: "bob", Attrs: []slog.Attr{slog.Int("deleted", 2)}})
	})
	closed(t, l)
	all := records(t, path)
	for i, want := range []string{
		`{"address":"invalid AddrPort","conn":"1","err":"no�no","event":"refused","listener":"pop3","mechanism":"USER","reason":"wrong-password","seq":1,` +
			`"user":"a�[31m�b�` + strings.Repeat("x", 128-11) + `…"}`,
		`{"address":"invalid AddrPort","authzid":"bob�","conn":"1","event":"impersonation","listener":"pop3","maildrop":"bob","mechanism":"GSSAPI","rule":"kpopd.hcl:12","seq":2,"source":"kerberos","user":"webmail"}`,
		`{"address":"invalid AddrPort","conn":"1","deleted":2,"event":"update","listener":"pop3","maildrop":"bob","seq":3,"user":"webmail"}`,
	} {
		if i >= len(all) {
			t.Fatalf("%d records", len(all))
		}
		if when, err := time.Parse(time.RFC3339Nano, fmt.Sprint(all[i]["time"])); err != nil || time.Since(when) > time.Hour {
			t.Errorf("time %v: %v", all[i]["time"], err)
		}
		delete(all[i], "time")
		if got, _ := json.Marshal(all[i]); string(got) != want {
			t.Errorf("record %d:\n%s\nwant\n%s", i, got, want)
		}
	}
	if said.Len() > 0 {
		t.Errorf("it logged %q", said)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o137 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Records of many sessions are whole lines, whichever file they are in, and
// none is lost when the file is rotated under them.
func TestRotation(t *testing.T) {
	l, said, path := open(t)
	const sessions, each = 8, 300
	var all sync.WaitGroup
	for i := range sessions {
		all.Go(func() {
			session(l, func(ctx context.Context, c *server.Conn) error {
				for n := range each {
					c.Record(ctx, server.Event{Kind: server.EventImpersonation, User: fmt.Sprintf("user%d", i), Maildrop: strings.Repeat("m", 500),
						Attrs: []slog.Attr{slog.Int("n", n)}})
				}
				return nil
			})
		})
	}
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	files := []string{path}
	for going := true; going; {
		select {
		case <-over:
			going = false
		default:
		}
		old := fmt.Sprintf("%s.%d", path, len(files))
		if err := os.Rename(path, old); err != nil {
			t.Fatal(err)
		}
		files = append(files, old)
		l.Swap(openFile(t, path)).Close()
	}
	closed(t, l)
	seen := map[float64]bool{}
	for _, file := range files {
		for _, rec := range records(t, file) {
			seen[rec["seq"].(float64)] = true
		}
	}
	if len(seen) != sessions*each || said.Len() > 0 {
		t.Errorf("%d records of %d in %d files; it logged %q", len(seen), sessions*each, len(files), said)
	}
}

// A full disk is reported, at most once a second, and only who acts as somebody
// else hears of it.
func TestFullDisk(t *testing.T) {
	l, said, _ := open(t)
	l.Swap(openFile(t, "/dev/full")).Close()
	session(l, func(ctx context.Context, c *server.Conn) error {
		if err := c.Record(ctx, server.Event{Kind: server.EventLogin, User: "alice"}); err != nil {
			t.Errorf("a login: %v", err)
		}
		for range 20 {
			if err := c.Record(ctx, server.Event{Kind: server.EventImpersonation, User: "webmail"}); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("an impersonation: %v", err)
			}
		}
		return nil
	})
	closed(t, l)
	if n := strings.Count(said.String(), "level=ERROR"); n == 0 || n > 10 || !strings.Contains(said.String(), "no space left") {
		t.Errorf("it logged %q", said)
	}
}

// A record behind a torn one is a line of its own.
func TestTornLine(t *testing.T) {
	l, _, path := open(t)
	var limit syscall.Rlimit
	const fsize = 1 // RLIMIT_FSIZE
	if err := syscall.Getrlimit(fsize, &limit); err != nil {
		t.Fatal(err)
	}
	session(l, func(ctx context.Context, c *server.Conn) error {
		acts := server.Event{Kind: server.EventImpersonation, User: "webmail"}
		c.Record(ctx, acts)
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		tight := limit
		tight.Cur = uint64(info.Size()) + 10
		if err := syscall.Setrlimit(fsize, &tight); err != nil {
			t.Error(err)
		}
		if err := c.Record(ctx, acts); err == nil {
			t.Error("half a line is a whole one")
		}
		if err := syscall.Setrlimit(fsize, &limit); err != nil {
			t.Error(err)
		}
		return c.Record(ctx, acts)
	})
	closed(t, l)
	data, _ := os.ReadFile(path)
	lines := strings.Split(string(data), "\n")
	if len(lines) != 4 || !json.Valid([]byte(lines[0])) || len(lines[1]) != 10 || !json.Valid([]byte(lines[2])) {
		t.Errorf("%q", data)
	}
}

// A file that takes nothing holds up nobody: a pipe that is full is one.
func TestSlowFile(t *testing.T) {
	l, said, _ := open(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l.Swap(w).Close()
	session(l, func(ctx context.Context, c *server.Conn) error {
		for range 6000 {
			c.Record(ctx, server.Event{Kind: server.EventEnd, User: "alice"})
		}
		if err := c.Record(ctx, server.Event{Kind: server.EventImpersonation, User: "webmail"}); !errors.Is(err, audit.ErrBusy) {
			t.Errorf("an impersonation: %v", err)
		}
		go drain(r)
		return nil
	})
	closed(t, l)
	if !strings.Contains(said.String(), audit.ErrBusy.Error()) {
		t.Errorf("it logged %q", said)
	}
}

// drain reads a pipe until it is closed.
func drain(r *os.File) {
	buf := make([]byte, 64<<10)
	for {
		if _, err := r.Read(buf); err != nil {
			return
		}
	}
}

func TestOpenFile(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	os.WriteFile(path("target"), nil, 0o600)
	os.Symlink(path("target"), path("link"))
	os.WriteFile(path("open"), nil, 0o600)
	os.Chmod(path("open"), 0o602)
	os.Mkdir(path("dir"), 0o700)
	syscall.Mkfifo(path("fifo"), 0o600)
	for _, name := range []string{"link", "open", "dir", "fifo", "missing/audit.log"} {
		if f, err := audit.OpenFile(path(name)); err == nil {
			f.Close()
			t.Errorf("%s: opened", name)
		}
	}
	os.WriteFile(path("old"), []byte("before\n"), 0o600)
	f := openFile(t, path("old"))
	f.WriteString("after\n")
	f.Close()
	if data, _ := os.ReadFile(path("old")); string(data) != "before\nafter\n" {
		t.Errorf("%q", data)
	}
}

// What happens on no connection is written before Record returns, however much
// there is.
func TestRecordWithoutConnection(t *testing.T) {
	l, said, path := open(t)
	const n = 3 * 4096 // more than wait in the queue of sessions
	for i := range n {
		e := server.Event{Kind: server.EventExpired, Maildrop: "alice", Attrs: []slog.Attr{slog.Int("uid", i)}}
		if err := l.Record(t.Context(), nil, e); err != nil {
			t.Fatal(err)
		}
	}
	all := records(t, path)
	if len(all) != n || said.Len() > 0 {
		t.Fatalf("%d records, want %d; said %q", len(all), n, said)
	}
	delete(all[0], "time")
	if got, want := fmt.Sprint(all[0]), "map[event:expired maildrop:alice seq:1 uid:0]"; got != want {
		t.Errorf("record %s, want %s", got, want)
	}
	closed(t, l)
}
