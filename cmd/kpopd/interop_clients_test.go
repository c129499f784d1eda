package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// crlf returns a message as it crosses the wire, without the stuffing.
func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// fromMbox returns the messages of a file in the mbox format.
func fromMbox(t testing.TB, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for m := range bytes.SplitSeq(bytes.TrimSuffix(b, []byte("\n\n")), []byte("\n\nFrom ")) {
		_, m, _ = bytes.Cut(m, []byte("\n")) // the rest of the From line
		all = append(all, string(m)+"\n")
	}
	return all
}

func TestMpop(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	cache := s.world.Kinit(t, "alice")
	const starttls = "tls on\ntls_starttls on\ntls_trust_file %s\n"
	for _, c := range []struct{ name, cache, listener, user, auth, tls string }{
		{"GSSAPI", cache, "pop3", "alice", "GSSAPI", "tls off\n"},
		{"GSSAPI with STLS", cache, "pop3", "alice", "GSSAPI", fmt.Sprintf(starttls, s.CA)},
		{"PLAIN with STLS", "", "pop3", "bob", "PLAIN", fmt.Sprintf(starttls, s.CA)},
		{"PLAIN on POP3S", "", "pop3s", "bob", "PLAIN", fmt.Sprintf("tls on\ntls_starttls off\ntls_trust_file %s\n", s.CA)},
		{"USER with STLS", "", "pop3", "bob", "USER", fmt.Sprintf(starttls, s.CA)},
		{"APOP with STLS", "", "pop3", "bob", "APOP", fmt.Sprintf(starttls, s.CA)},
	} {
		t.Run(c.name, func(t *testing.T) {
			texts := s.deliver(t, c.user, 3)
			mark := d.log.mark()
			dir := t.TempDir()
			rc := fmt.Sprintf("account a\nhost localhost\nport %s\nuser %s\npassword %s\nauth %s\n%skeep off\nreceived_header off\ndelivery mbox %s/mbox\nuidls_file %s/uidls\n",
				d.port(t, c.listener), c.user, bobPassword, strings.ToLower(c.auth), c.tls, dir, dir)
			if err := os.WriteFile(dir+"/rc", []byte(rc), 0o600); err != nil {
				t.Fatal(err)
			}
			runClient(t, append(s.world.Env(c.cache), "HOME="+dir), "", "mpop", "-C", dir+"/rc", "-d", "a").exits(t, 0)
			sameMessages(t, fromMbox(t, dir+"/mbox"), texts)
			d.loggedIn(t, mark, c.auth, c.user)
			if left := s.messages(t, c.user); len(left) != 0 {
				t.Errorf("%d messages are left", len(left))
			}
		})
	}
	d.stop(t)
}

func TestCurl(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	texts := s.deliver(t, "alice", 3)
	s.deliver(t, "bob", 1)
	cache := s.world.Kinit(t, "alice")
	starttls := []string{"--ssl-reqd", "--cacert", s.CA}
	bob := "bob:" + bobPassword
	for _, c := range []struct {
		name, cache, scheme, listener, mechanism, maildrop string
		args                                               []string
	}{
		{"PLAIN in the clear", "", "pop3", "clear", "PLAIN", "bob", []string{"-u", bob}},
		{"PLAIN with STLS", "", "pop3", "pop3", "PLAIN", "bob", append(starttls, "--login-options", "AUTH=PLAIN", "-u", bob)},
		{"PLAIN with STLS at once", "", "pop3", "pop3", "PLAIN", "bob", append(starttls, "--sasl-ir", "--login-options", "AUTH=PLAIN", "-u", bob)},
		{"PLAIN on POP3S", "", "pop3s", "pop3s", "PLAIN", "alice", append(starttls, "--login-options", "AUTH=PLAIN", "-u", "alice:"+alicePassword)},
		{"APOP on POP3S", "", "pop3s", "pop3s", "APOP", "bob", append(starttls, "--login-options", "AUTH=+APOP", "-u", bob)},
		{"GSSAPI", cache, "pop3", "pop3", "GSSAPI", "alice", []string{"--login-options", "AUTH=GSSAPI", "-u", ":"}},
		{"GSSAPI with STLS", cache, "pop3", "pop3", "GSSAPI", "alice", append(starttls, "--login-options", "AUTH=GSSAPI", "-u", ":")},
		{"GSSAPI on POP3S", cache, "pop3s", "pop3s", "GSSAPI", "alice", append(starttls, "--login-options", "AUTH=GSSAPI", "-u", "alice@EXAMPLE.TEST:")},
	} {
		t.Run(c.name, func(t *testing.T) {
			mark := d.log.mark()
			url := fmt.Sprintf("%s://localhost:%s/", c.scheme, d.port(t, c.listener))
			argv := append([]string{"curl", "-sS", "-m", "50"}, c.args...)
			runClient(t, s.world.Env(c.cache), "", append(argv, url)...).exits(t, 0).says(t, "1 ")
			d.loggedIn(t, mark, c.mechanism, c.maildrop)
		})
	}
	get := func(path string, args ...string) string {
		argv := append([]string{"curl", "-sS", "-m", "50", "--login-options", "AUTH=GSSAPI", "-u", ":"}, args...)
		return runClient(t, s.world.Env(cache), "", append(argv, "pop3://localhost:"+d.port(t, "pop3")+path)...).exits(t, 0).out
	}
	t.Run("commands", func(t *testing.T) {
		curlCommands(t, get, texts)
	})
}

// TestCurlUser has curl log in by USER and PASS, which it does where it sees
// no other way: no timestamp for APOP and no mechanism of SASL.
func TestCurlUser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.startEdited(t, `, "APOP"`, "")
	s.deliver(t, "bob", 2)
	mark := d.log.mark()
	runClient(t, s.world.Env(""), "", "curl", "-sS", "-m", "50", "-u", "bob:"+bobPassword,
		"pop3://"+newHidingTap(t, d.addrs["clear"], "SASL ").addr+"/").exits(t, 0).says(t, "1 ", "2 ")
	d.loggedIn(t, mark, "USER", "bob")
	d.stop(t)
}

// curlCommands lists, looks and fetches.
func curlCommands(t *testing.T, get func(path string, args ...string) string, texts []string) {
	var list strings.Builder
	var got []string
	for i := range texts {
		m := get(fmt.Sprintf("/%d", i+1))
		fmt.Fprintf(&list, "%d %d\r\n", i+1, len(m))
		got = append(got, strings.ReplaceAll(m, "\r\n", "\n"))
	}
	sameMessages(t, got, texts)
	if l := get("/"); l != list.String() {
		t.Errorf("LIST is %q, want %q", l, &list)
	}
	if u := get("/", "-X", "UIDL"); strings.Count(u, "\r\n") != len(texts) {
		t.Errorf("UIDL is %q", u)
	}
	if top := get("/", "-X", "TOP 1 1"); !strings.HasSuffix(top, "\r\n\r\nLine one\r\n") {
		t.Errorf("TOP 1 1 is %q", top)
	}
	get("/", "-X", "NOOP", "-I")
	get("/1", "-X", "DELE", "-I")
	if l := get("/"); strings.Count(l, "\r\n") != len(texts)-1 {
		t.Errorf("after DELE: LIST is %q", l)
	}
}

func TestOpenssl(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	texts := s.deliver(t, "bob", 2)
	script := fmt.Sprintf("CAPA\nUSER bob\nPASS %s\nSTAT\nLIST\nRETR 1\nDELE 1\nQUIT\n", bobPassword)
	argv := []string{"openssl", "s_client", "-quiet", "-crlf", "-CAfile", s.CA, "-verify_return_error", "-verify_hostname", "localhost", "-connect"}
	r := runClient(t, s.world.Env(""), script, append(argv, d.addrs["pop3"], "-starttls", "pop3")...).exits(t, 0)
	size := 0
	for _, m := range texts {
		size += len(crlf(m))
	}
	r.says(t, "Send PASS", fmt.Sprintf("+OK 2 %d\r\n", size), "\r\n..dots\r\n", "+OK Bye")
	if n := len(s.messages(t, "bob")); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	r = runClient(t, s.world.Env(""), script, append(argv, d.addrs["pop3s"])...).exits(t, 0)
	r.says(t, "POP3 server ready", "+OK 1 ", "+OK Bye")
	if n := len(s.messages(t, "bob")); n != 0 {
		t.Errorf("%d messages, want 0", n)
	}
	d.stop(t)
}

// script returns the path of a script that is run in a test.
func script(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
