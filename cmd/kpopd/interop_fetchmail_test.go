package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A fetchmail is one configuration of fetchmail, and where its mail went.
type fetchmail struct {
	dir          string
	env          []string
	argv0        []string // before fetchmail itself, such as faketime and its arguments
	host         string   // the server's name, as fetchmail has it
	server, user string   // options
}

// Options of the user's part of a fetchmailrc. Without any, fetchmail wants
// STLS to succeed.
const (
	noTLS  = "sslproto ''"
	viaTLS = "sslproto 'TLS1.2+' sslcertck sslcertfile %CA%"
	allTLS = "ssl sslcertck sslcertfile %CA%"
)

// newFetchmail makes a fetchmail. server are its options for the server,
// user those for the user; %CA% is the authority's certificate. cache holds
// its tickets, "" none.
func (s *site) newFetchmail(t testing.TB, cache, server, user string) *fetchmail {
	t.Helper()
	ca := strings.NewReplacer("%CA%", s.CA)
	f := &fetchmail{dir: t.TempDir(), env: s.world.Env(cache), host: "localhost", server: ca.Replace(server), user: ca.Replace(user)}
	f.env = append(f.env, "HOME="+f.dir, "FETCHMAILHOME="+f.dir)
	if err := os.Mkdir(filepath.Join(f.dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.write(t)
	return f
}

// write writes the fetchmailrc. Without "invisible" and "no rewrite" fetchmail
// would change the messages.
func (f *fetchmail) write(t testing.TB) {
	t.Helper()
	text := fmt.Sprintf("set invisible\npoll %s no dns timeout 50 %s\n  %s is root here no rewrite\n  mda \"cat > $(mktemp %s/mail/XXXXXXXX)\"\n",
		f.host, f.server, f.user, f.dir)
	if err := os.WriteFile(filepath.Join(f.dir, "rc"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// kpopServer are the options of a KPOP server. fetchmail sends its ticket's
// word for PASS only where the service is called "kpop", which it is not where
// a port is given: a plugin makes the connection.
func (d *daemon) kpopServer() string {
	return fmt.Sprintf("proto KPOP auth kerberos_v5 plugin 'socat STDIO TCP:%s'", d.addrs["kpop"])
}

// poll runs fetchmail once.
func (f *fetchmail) poll(t testing.TB) clientRun {
	t.Helper()
	argv := append(slices.Clone(f.argv0), "fetchmail", "-v", "-v", "--nodetach", "--nosyslog",
		"-f", f.dir+"/rc", "--pidfile", f.dir+"/pid", "-i", f.dir+"/ids")
	return runClient(t, f.env, "", argv...)
}

// got returns what fetchmail delivered, sorted.
func (f *fetchmail) got(t testing.TB) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(f.dir, "mail"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(f.dir, "mail", e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b))
	}
	slices.Sort(all)
	return all
}

// collects polls once and fails the test unless exactly these messages came.
func (f *fetchmail) collects(t testing.TB, want []string) clientRun {
	t.Helper()
	r := f.poll(t).exits(t, 0)
	sameMessages(t, f.got(t), want)
	return r
}

// The exit statuses of fetchmail(1).
const (
	fetchmailNone  = 1 // no mail
	fetchmailAuth  = 3 // authentication failed
	fetchmailError = 7 // what a refused ticket is to it
)

func TestFetchmail(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	cache := s.world.Kinit(t, "alice")
	port := func(listener string) string { return d.port(t, listener) }
	alice, bob := "user alice", fmt.Sprintf("user bob password '%s'", bobPassword)
	for _, c := range []struct {
		name, cache, server, user, mechanism string
		tls                                  bool
	}{
		{"KPOP", cache, d.kpopServer(), alice + " " + noTLS, "KPOP", false},
		{"KPOP with STLS", cache, d.kpopServer(), alice + " sslcertfile %CA%", "KPOP", true},
		{"GSSAPI with STLS", cache, "proto POP3 auth gssapi port " + port("pop3"), alice + " " + viaTLS, "GSSAPI", true},
		{"GSSAPI on POP3S", cache, "proto POP3 auth gssapi port " + port("pop3s"), alice + " " + allTLS, "GSSAPI", true},
		{"GSSAPI in the clear", cache, "proto POP3 auth gssapi port " + port("pop3"), alice + " " + noTLS, "GSSAPI", false},
		{"any with a ticket", cache, "proto POP3 port " + port("pop3"), alice + " password 'not used' " + viaTLS, "GSSAPI", true},
		{"USER with STLS", "", "proto POP3 auth password port " + port("pop3"), bob + " " + viaTLS, "USER", true},
		{"USER on POP3S", "", "proto POP3 auth password port " + port("pop3s"), bob + " " + allTLS, "USER", true},
		{"USER in the clear", "", "proto POP3 auth password port " + port("clear"), bob + " " + noTLS, "USER", false},
		{"APOP on POP3S", "", "proto APOP port " + port("pop3s"), bob + " " + allTLS, "APOP", true},
		{"APOP in the clear", "", "proto APOP port " + port("clear"), bob + " " + noTLS, "APOP", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			maildrop := strings.Fields(c.user)[1]
			texts := s.deliver(t, maildrop, 3)
			mark := d.log.mark()
			s.newFetchmail(t, c.cache, c.server, c.user+" fetchall").collects(t, texts)
			rec := d.loggedIn(t, mark, c.mechanism, maildrop)
			if (rec["tls"] != "none") != c.tls {
				t.Errorf("tls is %v: %v", rec["tls"], rec)
			}
			if left := s.messages(t, maildrop); len(left) != 0 {
				t.Errorf("%d messages are left", len(left))
			}
		})
	}
	d.stop(t)
}

// TestFetchmailContents collects messages of unusual shapes over KPOP and
// deletes them.
func TestFetchmailContents(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	head := "From: sender@example.test\nTo: alice@example.test\nSubject: shapes\nMessage-ID: <%d@example.test>\n"
	texts := []string{
		head + "\n.\n..\n.dot\nfrom\nFrom here\n\n",
		head + "\n",
		head + "Content-Transfer-Encoding: 8bit\n\nGrüße \xff\xfe\x80\n",
		head + "\n" + strings.Repeat("a long line ", 300) + "\nshort\n",
		head + "\n" + strings.Repeat(strings.Repeat("x", 76)+"\n", 20000),
		head + "\ntrailing blanks  \t\n\n\n\n",
	}
	for i := range texts {
		texts[i] = strings.Replace(texts[i], "%d", fmt.Sprint(i), 1)
		if err := s.store().Deliver(t.Context(), "alice", strings.NewReader(texts[i])); err != nil {
			t.Fatal(err)
		}
	}
	f := s.newFetchmail(t, s.world.Kinit(t, "alice"), d.kpopServer(), "user alice fetchall sslcertfile %CA%")
	f.collects(t, texts)
	if left := s.messages(t, "alice"); len(left) != 0 {
		t.Errorf("%d messages are left", len(left))
	}
}

// TestFetchmailKeep leaves mail on the server: what was fetched is known by
// its unique-id and not fetched again, what is new is.
func TestFetchmailKeep(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	texts := s.deliver(t, "alice", 3)
	f := s.newFetchmail(t, s.world.Kinit(t, "alice"), "proto POP3 auth gssapi uidl port "+d.port(t, "pop3s"), "user alice keep "+allTLS)
	f.collects(t, texts)
	f.poll(t).exits(t, fetchmailNone)
	texts = append(texts, s.deliver(t, "alice", 1)...)
	f.collects(t, texts)
	if n := len(s.messages(t, "alice")); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
	f.poll(t).exits(t, fetchmailNone)
}

// TestFetchmailRefused shows what the user sees of a wrong password.
func TestFetchmailRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deliver(t, "bob", 1)
	d := s.start(t)
	for _, c := range []struct{ server, user, reason string }{
		{"proto POP3 auth password port " + d.port(t, "pop3"), viaTLS, "wrong-password"},
		{"proto APOP port " + d.port(t, "pop3s"), allTLS, "wrong-digest"},
	} {
		mark := d.log.mark()
		r := s.newFetchmail(t, "", c.server, "user bob password 'wrong' "+c.user).poll(t)
		r.exits(t, fetchmailAuth).says(t, "-ERR [AUTH] Authentication failed")
		d.refused(t, mark, c.reason)
	}
	// fetchmail does not begin TLS for APOP: it is told to.
	r := s.newFetchmail(t, "", "proto APOP port "+d.port(t, "pop3"), "user bob password 'wrong'").poll(t)
	r.exits(t, fetchmailAuth).says(t, "-ERR [SYS/PERM] TLS is required here, use STLS first")
}
