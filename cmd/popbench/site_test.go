package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

	"kpopd/auth/krb5"
	"kpopd/cmd/popbench/load"
	"kpopd/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.M(removing{m})) }

// removing removes what tests built.
type removing struct{ *testing.M }

func (r removing) Run() int {
	defer func() {
		if path, err := built(); err == nil {
			os.RemoveAll(filepath.Dir(path))
		}
	}()
	return r.M.Run()
}

const (
	users   = 6
	letters = 5 // of each user
	sesame  = "sesam öffne dich"
)

// A site is a directory with mail, and what a server of it needs.
type site struct {
	dir, ca, cert, key string
}

func newSite(t testing.TB) *site {
	t.Helper()
	ca, err := testenv.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Server("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{dir: t.TempDir(), ca: ca.File(t)}
	s.cert, s.key = cert.Files(t)
	for i := range users {
		s.fill(t, name(i))
	}
	return s
}

func name(i int) string { return fmt.Sprintf("user%02d", i) }

// letter is the text of a message as it is stored. Lines have dots, and one is
// longer than a buffer of the client's.
func letter(user string, i int) string {
	return fmt.Sprintf("From: a@example.test\nMessage-ID: <%d.%s@x>\nSubject: a letter\n\n.\n..two\ntext of %d\n%s\n.end\n",
		i, user, i, strings.Repeat("x", i*100_000))
}

func (s *site) maildir(user string) string { return filepath.Join(s.dir, "mail", user, "Maildir") }

func (s *site) file(user string, i int) string {
	return filepath.Join(s.maildir(user), "cur", fmt.Sprintf("170000000%d.M%d.mail:2,", i, i))
}

func (s *site) fill(t testing.TB, user string) {
	t.Helper()
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.maildir(user), sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := range letters {
		s.write(t, s.file(user, i), letter(user, i))
	}
}

func (s *site) write(t testing.TB, path, text string) string {
	t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.dir, path)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// left counts the messages of a user that are there.
func (s *site) left(t testing.TB, user string) (n int) {
	t.Helper()
	for _, sub := range []string{"cur", "new"} {
		all, err := os.ReadDir(filepath.Join(s.maildir(user), sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		n += len(all)
	}
	return n
}

// manifest writes what the messages of a user are, by their numbers.
func (s *site) manifest(t testing.TB, user string) string {
	t.Helper()
	var b strings.Builder
	for i := range letters {
		text := strings.ReplaceAll(letter(user, i), "\n", "\r\n")
		e := load.Entry{Number: i + 1, Octets: int64(len(text)), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(text)))}
		if err := json.NewEncoder(&b).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	return s.write(t, "manifest-"+user, b.String())
}

// A server is what is measured: its addresses by the way to it, and its process.
type server struct {
	clear, stls, implicit, kpop string
	pid                         int
}

// addr returns where a server waits for clients that come by a way.
func (s *server) addr(way string) string {
	return map[string]string{load.None: s.clear, load.STLS: s.stls, load.Implicit: s.implicit, load.Resumed: s.implicit}[way]
}

var kpopdConfig = template.Must(template.New("").Parse(`
hostname   = "localhost"
state_dir  = "{{.Dir}}/state"
mechanisms = ["GSSAPI", "PLAIN", "APOP"]
listener "clear" {
  address           = "127.0.0.1:0"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "any"
}
listener "stls" {
  address  = "127.0.0.1:0"
  protocol = "pop3"
}
listener "implicit" {
  address  = "127.0.0.1:0"
  protocol = "pop3"
  tls      = "implicit"
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
  keytab = "{{.Dir}}/keytab"
}
authenticator "file" "users" {
  path = "{{.Dir}}/users"
}
maildrop "maildir" {
  path = "{{.Dir}}/mail/${maildrop}/Maildir"
}
log {
  format = "json"
}
`))

// built is kpopd, built once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "popbench-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kpopd")
	out, err := exec.Command("go", "build", "-o", path, "kpopd/cmd/kpopd").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

// startKpopd serves the site until the end of the test.
func (s *site) startKpopd(t testing.TB) *server {
	t.Helper()
	var passwords, config bytes.Buffer
	for i := range users {
		fmt.Fprintf(&passwords, "%s:{PLAIN}%s\n", name(i), sesame)
	}
	s.write(t, "users", passwords.String())
	s.mint(t)
	if err := kpopdConfig.Execute(&config, map[string]string{"Dir": s.dir, "Cert": s.cert, "Key": s.key}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(kpopd(t), "serve", "-config", s.write(t, "kpopd.hcl", config.String()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	srv, logErr := listening(json.NewDecoder(stderr))
	var drain sync.WaitGroup
	drain.Go(func() { _, _ = io.Copy(io.Discard, stderr) }) // it waits for who reads its log
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		drain.Wait()
		_ = cmd.Wait()
	})
	if logErr != nil {
		t.Fatalf("kpopd ended: %v", logErr)
	}
	srv.pid = cmd.Process.Pid
	return srv
}

// listening waits until kpopd says where it listens.
func listening(log *json.Decoder) (*server, error) {
	var record struct {
		Msg       string            `json:"msg"`
		Listeners map[string]string `json:"listeners"`
	}
	for record.Msg != "serving" {
		if err := log.Decode(&record); err != nil {
			return nil, fmt.Errorf("after %q: %w", record.Msg, err)
		}
	}
	l := record.Listeners
	return &server{clear: l["clear"], stls: l["stls"], implicit: l["implicit"], kpop: l["kpop"]}, nil
}

// mint makes a keytab, and a credentials cache for each user.
func (s *site) mint(t testing.TB) {
	t.Helper()
	const realm = "EXAMPLE.TEST"
	m, err := krb5.NewMint(realm, "pop/localhost")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.WriteKeytab(filepath.Join(s.dir, "keytab")); err != nil {
		t.Fatal(err)
	}
	service := krb5.Principal{Components: []string{"pop", "localhost"}, Realm: realm}
	for i := range users {
		user := krb5.Principal{Components: []string{name(i)}, Realm: realm}
		ticket, err := m.Ticket(user, service, krb5.TicketOptions{End: time.Now().Add(time.Hour)})
		if err == nil {
			err = krb5.WriteCCache(filepath.Join(s.dir, fmt.Sprintf("cc%02d", i)), user, ticket)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// startDovecot serves the site by Debian's Dovecot.
func (s *site) startDovecot(t testing.TB) *server {
	t.Helper()
	passwords := map[string]string{}
	for i := range users {
		passwords[name(i)] = sesame
	}
	d := testenv.StartDovecot(t, testenv.DovecotConfig{Mail: filepath.Join(s.dir, "mail"), Users: passwords,
		Extra: "service pop3-login {\n  service_count = 0\n}\n"})
	s.ca = d.CA.File(t)
	return &server{clear: d.POP3, stls: d.POP3, implicit: d.POP3S, pid: d.Pid()}
}
