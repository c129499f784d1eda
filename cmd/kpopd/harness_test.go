package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"

	"go.uber.org/goleak"

	"kpopd/auth/userfile"
	"kpopd/maildrop/maildir"
	"kpopd/testenv"
)

// asKpopd in the environment makes the test binary the program itself, so that
// what is tested is what runs, with the race detector where the tests have it.
const asKpopd = "KPOPD_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asKpopd) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(testenv.M(m))
}

// raceDetector: the tests, and so the program, run with it.
var raceDetector bool

// kpopd returns the command of a kpopd process that ends with the tests.
func kpopd(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asKpopd+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// A daemon is a kpopd process that serves a configuration.
type daemon struct {
	cmd   *exec.Cmd
	addrs map[string]string // of its listeners, by name
	log   *logReader
	ended chan struct{}
	err   error // of the process, once ended is closed
}

// startDaemon serves the configuration file at path and waits until it
// listens. The daemon is stopped at the end of the test.
func startDaemon(t testing.TB, path string) *daemon {
	t.Helper()
	d := &daemon{cmd: kpopd("serve", "-config", path), ended: make(chan struct{})}
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.log = newLogReader()
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		d.log.read(stderr)
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	t.Cleanup(func() { d.kill(); <-d.ended })
	rec := d.log.await(t, "serving", nil)
	d.addrs = map[string]string{}
	for name, addr := range rec["listeners"].(map[string]any) {
		d.addrs[name] = addr.(string)
	}
	return d
}

func (d *daemon) signal(t testing.TB, sig os.Signal) {
	t.Helper()
	if err := d.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func (d *daemon) kill() { d.cmd.Process.Kill() }

// stop ends the daemon in good order.
func (d *daemon) stop(t testing.TB) {
	t.Helper()
	d.signal(t, syscall.SIGTERM)
	select {
	case <-d.ended:
		if d.err != nil {
			t.Fatalf("kpopd: %v\n%s", d.err, d.log)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("kpopd does not stop\n%s", d.log)
	}
}

// A logReader collects the daemon's log, a JSON record a line.
type logReader struct {
	mu      sync.Mutex
	records []map[string]any
	raw     bytes.Buffer
	more    chan struct{} // closed and replaced at each record
	over    bool
}

func newLogReader() *logReader { return &logReader{more: make(chan struct{})} }

func (l *logReader) read(r io.Reader) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		l.add(s.Bytes())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	close(l.more)
}

func (l *logReader) add(line []byte) {
	var rec map[string]any
	json.Unmarshal(line, &rec)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raw.Write(line)
	l.raw.WriteByte('\n')
	if rec != nil {
		l.records = append(l.records, rec)
	}
	close(l.more)
	l.more = make(chan struct{})
}

func (l *logReader) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.raw.String()
}

// mark returns how many records there are, for awaitFrom.
func (l *logReader) mark() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.records)
}

// await returns the first record with this message for which match, unless it
// is nil, is true; it waits for it where need be.
func (l *logReader) await(t testing.TB, msg string, match func(map[string]any) bool) map[string]any {
	t.Helper()
	return l.awaitFrom(t, 0, msg, match)
}

// awaitFrom is await for the records from a mark on.
func (l *logReader) awaitFrom(t testing.TB, from int, msg string, match func(map[string]any) bool) map[string]any {
	t.Helper()
	timeout := time.After(60 * time.Second)
	for {
		l.mu.Lock()
		for ; from < len(l.records); from++ {
			if rec := l.records[from]; rec["msg"] == msg && (match == nil || match(rec)) {
				l.mu.Unlock()
				return rec
			}
		}
		more, over := l.more, l.over
		l.mu.Unlock()
		if over {
			t.Fatalf("kpopd ended before it logged %q:\n%s", msg, l)
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("kpopd did not log %q:\n%s", msg, l)
		}
	}
}

// A site is a directory with a configuration and what it needs: mail, users,
// certificates, and the keytab of a world with a KDC.
type site struct {
	Dir, Keytab, Cert, Key, CA string
	Extra                      string // more HCL
	world                      *testenv.World
}

// siteConfig listens on three free ports of loopback, and logs JSON.
var siteConfig = template.Must(template.New("").Parse(`
hostname  = "localhost"
state_dir = "{{.Dir}}/state"
mechanisms = ["GSSAPI", "PLAIN", "APOP"]
listener "pop3" {
  address           = "127.0.0.1:0"
  protocol          = "pop3"
}
listener "pop3s" {
  address  = "127.0.0.1:0"
  protocol = "pop3"
  tls      = "implicit"
}
listener "clear" {
  address           = "127.0.0.1:0"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "any"
}
listener "kpop" {
  address  = "127.0.0.1:0"
  protocol = "kpop"
}
tls {
  certificate {
    cert_file = "{{.Cert}}"
    key_file  = "{{.Key}}"
  }
}
kerberos {
  keytab = "{{.Keytab}}"
  realms = ["EXAMPLE.TEST", "PARTNER.TEST"]
}
authenticator "file" "users" {
  path = "{{.Dir}}/users"
}
account {
  when     = realm == "PARTNER.TEST"
  maildrop = "partner/${lower(split("@", user)[0])}"
}
maildrop "maildir" {
  path = "{{.Dir}}/mail/${maildrop}/Maildir"
}
log {
  format = "json"
  level  = "debug"
}
{{.Extra}}`))

// The passwords of the site's users.
const (
	alicePassword = "sesam öffne dich"
	bobPassword   = "tanstaaf"
)

// newSite makes a site for the KDC of the shared world.
func newSite(t testing.TB) *site {
	t.Helper()
	w := testenv.Start(t)
	s := &site{Dir: t.TempDir(), world: w, Keytab: w.Keytab, CA: w.CA.File(t)}
	cert, err := w.CA.Server("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s.Cert, s.Key = cert.Files(t)
	alice, err := userfile.Hash("SHA512-CRYPT", alicePassword)
	if err != nil {
		t.Fatal(err)
	}
	users := "alice:" + alice + "\nbob:{PLAIN}" + bobPassword + "\n"
	s.write(t, "users", users)
	if err := os.MkdirAll(filepath.Join(s.Dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(s.Dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// config writes the configuration and returns its path.
func (s *site) config(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	if err := siteConfig.Execute(&b, s); err != nil {
		t.Fatal(err)
	}
	return s.write(t, "kpopd.hcl", b.String())
}

// start serves the site.
func (s *site) start(t testing.TB) *daemon {
	t.Helper()
	return startDaemon(t, s.config(t))
}

func (s *site) store() *maildir.Store {
	return &maildir.Store{Root: filepath.Join(s.Dir, "mail"), Path: func(name string) (string, error) { return name + "/Maildir", nil }}
}

// deliver adds n small messages to a maildrop and returns their texts.
func (s *site) deliver(t testing.TB, maildrop string, n int) []string {
	t.Helper()
	store := s.store()
	var all []string
	for i := range n {
		msg := fmt.Sprintf("From: sender@example.test\nTo: %s\nSubject: message %d\nMessage-ID: <%d.%d@example.test>\n\nLine one\n.dots\nmessage %d ends\n",
			maildrop, i, i, time.Now().UnixNano(), i)
		if err := store.Deliver(context.Background(), maildrop, strings.NewReader(msg)); err != nil {
			t.Fatal(err)
		}
		all = append(all, msg)
	}
	return all
}

// messages returns the files of a maildrop, by base name.
func (s *site) messages(t testing.TB, maildrop string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, sub := range []string{"new", "cur"} {
		dir := filepath.Join(s.Dir, "mail", maildrop, "Maildir", sub)
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			base, _, _ := strings.Cut(e.Name(), ":")
			all[base] = string(text)
		}
	}
	return all
}
