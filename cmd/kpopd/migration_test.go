package main

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kpopd/maildrop/mbox"
	"kpopd/maildrop/migrate"
	"kpopd/testenv"
)

// A migration is the move of bob's maildrop from an old server to kpopd, as his
// client sees it, which leaves mail on the server.
type migration struct {
	*site
	*testing.T
	client  *fetchmail
	config  string
	maildir string
	texts   []string // that the client has
}

// newMigration puts five messages into bob's Maildir.
func newMigration(t *testing.T) *migration {
	t.Helper()
	m := &migration{site: newSite(t), T: t}
	m.config = m.site.config(t)
	m.maildir = filepath.Join(m.Dir, "mail", "bob", "Maildir")
	m.texts = m.deliver(t, "bob", 5)
	m.client = m.newFetchmail(t, "", "", "user bob password '"+bobPassword+"' keep "+noTLS)
	return m
}

// at points the client at a server. Nothing else of its configuration changes.
func (m *migration) at(addr string) {
	m.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		m.Fatal(err)
	}
	m.client.server = "proto POP3 auth password uidl port " + port
	m.client.write(m)
}

// collects polls, and has all texts, once, when it has.
func (m *migration) collects() {
	m.Helper()
	m.client.collects(m, m.texts)
}

// nothing polls, and nothing comes.
func (m *migration) nothing() {
	m.Helper()
	m.client.poll(m).exits(m, fetchmailNone)
	sameMessages(m, m.client.got(m), m.texts)
}

// moved proves that the move is done: what the client has does not come again,
// and what is new comes once.
func (m *migration) moved(d *daemon) {
	m.Helper()
	m.at(d.addrs["clear"])
	m.nothing()
	m.texts = append(m.texts, m.deliver(m, "bob", 1)...)
	m.collects()
	m.nothing()
}

// kpopd runs kpopd uidl and returns its output. It exits with status.
func (m *migration) kpopd(status int, args ...string) string {
	m.Helper()
	cmd := kpopd(append([]string{"uidl"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != status {
		m.Fatalf("kpopd uidl %q: %v, want exit status %d\n%s", args, err, status, out.String())
	}
	return out.String()
}

// shown returns what a server shows of bob's maildrop.
func (m *migration) shown(addr string, ca *testenv.CA) (all []string) {
	m.Helper()
	login := migrate.Login{URL: &url.URL{Scheme: "pop3", Host: addr}, User: "bob", Password: bobPassword, Clear: true}
	if ca != nil {
		login.TLS = &tls.Config{RootCAs: ca.Pool()}
	}
	c, err := migrate.Dial(m.Context(), login)
	if err != nil {
		m.Fatal(err)
	}
	defer c.Close()
	old, err := c.Messages()
	if err != nil {
		m.Fatal(err)
	}
	for _, o := range old {
		all = append(all, fmt.Sprintf("%s %d", o.UID, o.Size))
	}
	return all
}

// dovecotKinds are Dovecots as administrators have them.
var dovecotKinds = map[string]struct{ format, extra string }{
	"default": {migrate.DefaultFormat, ""},
	"changed": {"%v.%u", "pop3_uidl_format = %v.%u\npop3_delete_type = flag\npop3_deleted_flag = \"$POP3Deleted\"\n"},
}

// TestMigrateDovecot moves from a Dovecot, whose Maildir stays where it is.
func TestMigrateDovecot(t *testing.T) {
	t.Parallel()
	for name, kind := range dovecotKinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMigration(t)
			d := m.start(t)
			old := m.dovecot(kind.extra)
			m.shown(old.POP3, old.CA)
			if kind.extra != "" {
				old.Stop()
				m.override()
				old = m.dovecot(kind.extra)
				m.dele(old.POP3, 2)
				m.texts = m.texts[1:] // the first has the order 2 now
			}
			m.at(old.POP3)
			m.collects()
			want := m.shown(old.POP3, old.CA)
			out := m.kpopd(0, "import", "-config", m.config, "-from", "dovecot", "-pop3-uidl-format", kind.format, "-pop3-deleted-flag", "$POP3Deleted", "bob")
			if got := m.shown(d.addrs["clear"], nil); !slices.Equal(got, want) {
				t.Fatalf("%s\n got %q\nwant %q", out, got, want)
			}
			old.Stop()
			m.moved(d)
			m.backToDovecot(d, kind.extra)
			d.stop(t)
		})
	}
}

func (m *migration) dovecot(extra string) *testenv.Dovecot {
	m.Helper()
	return testenv.StartDovecot(m, testenv.DovecotConfig{Mail: filepath.Join(m.Dir, "mail"), Users: map[string]string{"bob": bobPassword}, Extra: extra})
}

// override gives two messages unique-ids and orders of their own, as migrations
// to Dovecot do.
func (m *migration) override() {
	m.Helper()
	path := filepath.Join(m.maildir, "dovecot-uidlist")
	text, err := os.ReadFile(path)
	if err != nil {
		m.Fatal(err)
	}
	edited := regexp.MustCompile(`(?m)^4 `).ReplaceAll(text, []byte("4 O1 P0000older-than-dovecot "))
	edited = regexp.MustCompile(`(?m)^1 `).ReplaceAll(edited, []byte("1 O2 "))
	if err := os.WriteFile(path, edited, 0o600); err != nil || bytes.Equal(edited, text) {
		m.Fatalf("%v, %s", err, edited)
	}
}

// dele deletes a message, which the client never had.
func (m *migration) dele(addr string, n int) {
	m.Helper()
	conn := dial(m, addr)
	defer conn.Close()
	conn.login("bob", bobPassword)
	conn.ok("DELE %d", n)
	conn.ok("QUIT")
}

// backToDovecot moves back.
func (m *migration) backToDovecot(d *daemon, extra string) {
	m.Helper()
	want := m.shown(d.addrs["clear"], nil)
	m.kpopd(0, "export", "-config", m.config, "-to", "dovecot", "bob")
	old := m.dovecot(extra)
	if got := m.shown(old.POP3, old.CA); !slices.Equal(got, want) {
		m.Errorf("back at Dovecot:\n got %q\nwant %q", got, want)
	}
	m.at(old.POP3)
	m.nothing()
}

// TestMigrateCourier moves from a Courier, whose Maildir stays where it is.
func TestMigrateCourier(t *testing.T) {
	t.Parallel()
	m := newMigration(t)
	d := m.start(t)
	mail, users := filepath.Join(m.Dir, "mail"), map[string]string{"bob": bobPassword}
	old := testenv.StartCourier(t, mail, users)
	m.at(old.POP3)
	m.collects()
	want := m.shown(old.POP3, nil)
	verify := []string{"verify", "-config", m.config, "-url", "pop3://" + old.POP3, "-clear", "-password-file", m.write(t, "bob.secret", bobPassword+"\n"), "bob"}
	if out := m.kpopd(1, verify...); !strings.Contains(out, "bob: < 5 UID5-") || !strings.Contains(out, "5 of 5 messages differ") {
		t.Errorf("verify before the import: %s", out)
	}
	if out := m.kpopd(1, "import", "-config", m.config, "-from", "courier", "bob"); !strings.Contains(out, "5 messages were shown here with other unique-ids already") {
		t.Errorf("import of what was shown: %s", out)
	}
	m.kpopd(0, "import", "-replace", "-config", m.config, "-from", "courier", "bob")
	m.kpopd(0, verify...)
	old.Stop()
	if got := m.shown(d.addrs["clear"], nil); !slices.Equal(got, want) {
		t.Fatalf("got %q\nwant %q", got, want)
	}
	m.moved(d)
	want = m.shown(d.addrs["clear"], nil)
	m.kpopd(0, "export", "-config", m.config, "-to", "courier", "bob")
	old = testenv.StartCourier(t, mail, users)
	if got := m.shown(old.POP3, nil); !slices.Equal(got, want) {
		t.Errorf("back at Courier:\n got %q\nwant %q", got, want)
	}
	m.at(old.POP3)
	m.nothing()
	d.stop(t)
}

// TestMigrateCyrus moves from a Cyrus, whose mail is copied: what it showed is
// captured, and each message known again.
func TestMigrateCyrus(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"cyrus", "uidonly", "courier"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			m := newMigration(t)
			old := testenv.StartCyrus(t, map[string]string{"bob": bobPassword, "cyrus": "master"}, "uidl_format: "+format+"\n")
			m.moveToCyrus(old)
			d := m.start(t)
			m.at(old.POP3)
			m.client.user = "user bob password '" + bobPassword + "' keep sslproto 'TLS1.2+' sslcertck sslcertfile " + m.write(t, "cyrus.pem", string(old.CA.PEM))
			m.client.write(t)
			m.client.poll(t).exits(t, 0)
			if m.texts = m.client.got(t); len(m.texts) != 5 { // Cyrus has put lines on top
				t.Fatalf("%d messages came", len(m.texts))
			}
			m.kpopd(0, m.cyrus(old, "capture", "-dir", m.Dir, "bob")...)
			m.interrupted()
			if out := m.kpopd(0, m.cyrus(old, "capture", "-dir", m.Dir, "bob")...); out != "bob: 5 messages, 2 of them known from before\n" {
				t.Errorf("capture says %s", out)
			}
			m.copyFrom(old)
			m.kpopd(0, "import", "-config", m.config, "-from", "capture", "-file", filepath.Join(m.Dir, "%s.capture"), "bob")
			out := m.kpopd(0, m.cyrus(old, "verify", "-config", m.config, "bob")...)
			if !strings.Contains(out, "bob: 5 messages, all the same") {
				t.Errorf("verify says %s", out)
			}
			old.Stop()
			m.client.user = "user bob password '" + bobPassword + "' keep " + noTLS
			m.moved(d)
			d.stop(t)
		})
	}
}

// moveToCyrus gives Cyrus the mail that is in the Maildir.
func (m *migration) moveToCyrus(c *testenv.Cyrus) {
	m.Helper()
	for _, text := range m.texts {
		c.Deliver(m, "bob", text)
	}
	if err := os.RemoveAll(m.maildir); err != nil {
		m.Fatal(err)
	}
}

// cyrus is a command that logs in to Cyrus as an administrator for bob.
func (m *migration) cyrus(c *testenv.Cyrus, command string, args ...string) []string {
	m.Helper()
	return append([]string{command, "-url", "pop3://" + c.POP3, "-ca-file", filepath.Join(m.Dir, "cyrus.pem"),
		"-master", "cyrus", "-password-file", m.write(m, "master.secret", "master\n")}, args...)
}

// copyFrom copies bob's mail here, as another fetchmail gets it, in no order.
func (m *migration) copyFrom(c *testenv.Cyrus) {
	m.Helper()
	_, port, _ := net.SplitHostPort(c.POP3)
	copier := m.newFetchmail(m, "", "proto POP3 auth password port "+port, strings.Replace(m.client.user, " keep ", " keep fetchall ", 1))
	copier.poll(m).exits(m, 0)
	for _, text := range copier.got(m) {
		if err := m.store().Deliver(m.Context(), "bob", strings.NewReader(text)); err != nil {
			m.Fatal(err)
		}
	}
}

// interrupted leaves what a capture leaves that is killed at the third message.
func (m *migration) interrupted() {
	m.Helper()
	name := filepath.Join(m.Dir, "bob.capture")
	f, err := os.Open(name)
	if err != nil {
		m.Fatal(err)
	}
	defer f.Close()
	old, err := migrate.ReadCapture(name, f)
	if err != nil || os.Remove(name) != nil {
		m.Fatal(err)
	}
	m.write(m, "bob.part", fmt.Sprintf("%s %s\n%s %s\n%s", old[0].Header, old[0].UID, old[1].Header, old[1].UID, old[2].Header[:7]))
}

// TestMigrateMbox moves from a Dovecot to an mbox, which another program has
// made of its mail.
func TestMigrateMbox(t *testing.T) {
	t.Parallel()
	m := newMigration(t)
	old := m.dovecot("pop3_uidl_format = %v.%u\n")
	m.at(old.POP3)
	m.collects()
	want := m.shown(old.POP3, old.CA)
	box := m.mboxOf(old.POP3)
	d := m.startEdited(t, `maildrop "maildir" {`, `maildrop "mbox" {`, m.Dir+"/mail/${maildrop}/Maildir", m.Dir+"/boxes/${maildrop}")
	at := []string{"-url", "pop3s://localhost:" + port(old.POP3S), "-ca-file", m.write(t, "dovecot.pem", string(old.CA.PEM)),
		"-password-file", m.write(t, "bob.secret", bobPassword+"\n"), "bob"}
	m.kpopd(0, append([]string{"capture", "-dir", m.Dir}, at...)...)
	before := m.read(box)
	imports := []string{"import", "-config", m.config, "-from", "capture", "-file", filepath.Join(m.Dir, "%s.capture"), "bob"}
	out := m.kpopd(0, append([]string{imports[0], "-dry-run"}, imports[1:]...)...)
	if out != "bob: 5 messages keep their unique-ids (0 of them hidden), 0 are new, 0 gone, 0 ambiguous, 0 of another size\n" || m.read(box) != before {
		t.Errorf("a dry run says %s", out)
	}
	m.kpopd(0, imports...)
	if out := m.kpopd(0, append([]string{"verify", "-config", m.config}, at...)...); out != "bob: 5 messages, all the same\n" {
		t.Errorf("verify says %s", out)
	}
	if got := m.shown(d.addrs["clear"], nil); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	m.kpopd(0, "export", "-config", m.config, "-to", "capture", "-dir", t.TempDir(), "bob")
	if out := m.kpopd(1, "export", "-config", m.config, "-to", "dovecot", "bob"); !strings.Contains(out, "of the kind mbox are no Maildirs") {
		t.Errorf("export to Dovecot: %s", out)
	}
	old.Stop()
	m.at(d.addrs["clear"])
	m.nothing()
	m.removeAll(filepath.Join(m.Dir, "state", "mbox")) // the file itself tells
	m.nothing()
	if n := strings.Count(m.read(box), "\nX-UIDL: "); n != 5 {
		t.Errorf("%d fields in %s", n, m.read(box))
	}
	last := "From: a@example.test\nSubject: new\n\nFrom here on\n"
	store := &mbox.Store{Root: filepath.Dir(box), StateDir: filepath.Join(m.Dir, "state")}
	if err := store.Deliver(t.Context(), "bob", strings.NewReader(last)); err != nil {
		t.Fatal(err)
	}
	m.texts = append(m.texts, last)
	m.collects()
	m.nothing()
	d.stop(t)
	back := testenv.StartDovecot(t, testenv.DovecotConfig{Mail: filepath.Dir(box), Users: map[string]string{"bob": bobPassword},
		Extra: "mail_location = mbox:" + t.TempDir() + ":INBOX=" + box + ":INDEX=MEMORY\npop3_reuse_xuidl = yes\nmbox_write_locks = fcntl\n"})
	for i, line := range m.shown(back.POP3, back.CA)[:5] {
		uid, _, _ := strings.Cut(line, " ")
		if was, _, _ := strings.Cut(want[i], " "); uid != was {
			t.Errorf("back at Dovecot, message %d is %s, was %s", i+1, uid, was)
		}
	}
}

// mboxOf has Python make an mbox of what a server shows of bob's mail.
func (m *migration) mboxOf(addr string) string {
	m.Helper()
	boxes := filepath.Join(m.Dir, "boxes")
	if err := os.Mkdir(boxes, 0o700); err != nil {
		m.Fatal(err)
	}
	box := filepath.Join(boxes, "bob")
	args := []string{"-c", "import mailbox, sys\nbox = mailbox.mbox(sys.argv[1])\nfor text in sys.argv[2:]: box.add(text)\nbox.close()", box}
	conn := dial(m, addr)
	defer conn.Close()
	conn.login("bob", bobPassword)
	for n := range m.texts {
		conn.ok("RETR %d", n+1)
		text := strings.ReplaceAll("\n"+multiline(m.T, conn.r), "\r\n", "\n")
		args = append(args, strings.ReplaceAll(text, "\n.", "\n")[1:])
	}
	if out, err := exec.Command(testenv.Need(m, "python3"), args...).CombinedOutput(); err != nil {
		m.Fatalf("%v\n%s", err, out)
	}
	return box
}

func (m *migration) read(path string) string {
	m.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		m.Fatal(err)
	}
	return string(text)
}

func (m *migration) removeAll(path string) {
	m.Helper()
	if err := os.RemoveAll(path); err != nil {
		m.Fatal(err)
	}
}

// TestMigrateTicket captures from a Dovecot and from a kpopd, and compares, with
// tickets: the one in a user's cache, which MIT's kvno got, and one by the key of
// an administrator.
func TestMigrateTicket(t *testing.T) {
	t.Parallel()
	m := newMigration(t)
	name := "admin-" + strings.ToLower(rand.Text())
	m.world.AddUser(t, name)
	admin, master := m.world.ExportKeytab(t, name), name+"@"+testenv.Realm
	m.Extra = fmt.Sprintf(`account {
  when               = principal == %q
  maildrop           = "admin"
  allow_authzid      = true
  allow_authzid_from = ["127.0.0.1"]
}
audit {
  file = %q
}
`, master, filepath.Join(m.Dir, "audit.log"))
	d := m.start(t)
	old := testenv.StartDovecot(t, testenv.DovecotConfig{
		Mail: filepath.Join(m.Dir, "mail"), Users: map[string]string{"bob": bobPassword, "alice": alicePassword},
		Keytab: m.Keytab, Krb5Conf: m.world.Krb5Conf, Principals: map[string]string{"bob": "bob@EXAMPLE.TEST," + master},
	})
	ca := m.write(t, "dovecot.pem", string(old.CA.PEM))
	cache := m.world.Kinit(t, "bob")
	m.world.Ticket(t, cache, "pop/localhost")
	for name, who := range map[string][]string{
		"cache":  {"-ccache", cache},
		"keytab": {"-keytab", admin, "-krb5-conf", m.world.Krb5Conf},
		"master": {"-keytab", admin, "-krb5-conf", m.world.Krb5Conf, "-master", master},
	} {
		for server, url := range map[string][]string{
			"dovecot stls": {"-url", "pop3://localhost:" + port(old.POP3), "-ca-file", ca},
			"dovecot tls":  {"-url", "pop3s://localhost:" + port(old.POP3S), "-ca-file", ca},
			"kpopd stls":   {"-url", "pop3://localhost:" + d.port(t, "pop3"), "-ca-file", m.CA},
			"kpopd tls":    {"-url", "pop3s://localhost:" + d.port(t, "pop3s"), "-ca-file", m.CA},
			"kpopd clear":  {"-url", "pop3://localhost:" + d.port(t, "clear"), "-clear"},
		} {
			t.Run(name+" "+server, func(t *testing.T) {
				n := *m
				n.T = t
				dir := t.TempDir()
				args := slices.Concat(url, who, []string{"-dir", dir, "bob"})
				if out := n.kpopd(0, append([]string{"capture"}, args...)...); out != "bob: 5 messages, 0 of them known from before\n" {
					t.Error(out)
				}
			})
		}
	}
	dovecot := []string{"-url", "pop3s://localhost:" + port(old.POP3S), "-ca-file", ca, "-ccache", cache}
	if out := m.kpopd(1, slices.Concat([]string{"capture", "-dir", m.Dir}, dovecot, []string{"alice"})...); !strings.Contains(out, `alice: localhost:`+port(old.POP3S)+`: AUTH GSSAPI: the server says "-ERR`) {
		t.Errorf("bob's ticket for alice's mail: %s", out)
	}
	if out := m.kpopd(1, "capture", "-dir", m.Dir, "-url", "pop3://localhost:"+d.port(t, "clear"), "-ccache", cache, "bob"); !strings.Contains(out, "no TLS: STLS") {
		t.Errorf("in the clear, unasked: %s", out)
	}
	m.kpopd(0, "import", "-replace", "-config", m.config, "-from", "dovecot", "bob")
	if out := m.kpopd(0, slices.Concat([]string{"verify", "-config", m.config}, dovecot, []string{"bob"})...); out != "bob: 5 messages, all the same\n" {
		t.Errorf("verify says %s", out)
	}
	d.stop(t)
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}
