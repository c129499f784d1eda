package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kpopd/maildrop/lease"
)

// newTerms makes a site whose account rule says more, in a configuration that
// does.
func newTerms(t testing.TB, rule, more string) *site {
	t.Helper()
	s := newSite(t)
	s.Extra = fmt.Sprintf("account {\n  maildrop = lower(user)\n%s\n}\naudit {\n  file = \"%s/audit.log\"\n}\n%s", rule, s.Dir, more)
	return s
}

// bob logs in.
func (d *daemon) bob(t testing.TB) *client {
	t.Helper()
	c := dial(t, d.addrs["clear"])
	c.login("bob", bobPassword)
	return c
}

// listing sends a command that a listing answers, and returns its lines.
func (c *client) listing(cmd string) []string {
	c.t.Helper()
	c.ok("%s", cmd)
	var lines []string
	for {
		line := c.line()
		if line == "." {
			return lines
		}
		lines = append(lines, line)
	}
}

// uids are the unique-ids that a session sees.
func (d *daemon) uids(t testing.TB) (all []string) {
	t.Helper()
	c := d.bob(t)
	for _, line := range c.listing("UIDL") {
		_, uid, _ := strings.Cut(line, " ")
		all = append(all, uid)
	}
	c.ok("QUIT")
	return all
}

// run runs a command of the program, on the site's configuration.
func (s *site) run(t testing.TB, args ...string) string {
	t.Helper()
	cmd := kpopd(append([]string{args[0], "-config", filepath.Join(s.Dir, "kpopd.hcl")}, args[1:]...)...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		t.Fatalf("kpopd %s: %v\n%s", strings.Join(args, " "), err, &complaints)
	}
	return out.String()
}

// files are all files of bob's Maildir.
func (s *site) files(t testing.TB) (all []string) {
	t.Helper()
	root := filepath.Join(s.Dir, "mail", "bob", "Maildir")
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			name, _ := filepath.Rel(root, path)
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// A message that is deleted is gone at QUIT and not before, is where the policy
// says, and comes back with its unique-id, also after a restart.
func TestDeletionPolicies(t *testing.T) {
	t.Parallel()
	for deletion, where := range map[string]string{"quarantine": "kpopd-quarantine/", "hide": "new/"} {
		t.Run(deletion, func(t *testing.T) {
			t.Parallel()
			s := newTerms(t, fmt.Sprintf("deletion = %q", deletion), "")
			s.deliver(t, "bob", 3)
			d := s.start(t)
			before, files := d.uids(t), s.files(t)

			cut := d.bob(t)
			cut.ok("DELE 1")
			cut.ok("DELE 2")
			mark := d.log.mark()
			cut.Close()
			d.log.awaitFrom(t, mark, "end", nil)
			same(t, "files after a session that broke off", s.files(t), files)

			c := d.bob(t)
			c.ok("DELE 1")
			c.ok("DELE 3")
			c.ok("QUIT")
			left := before[1:2]
			same(t, "left", d.uids(t), left)
			for _, uid := range []string{before[0], before[2]} {
				if !slices.ContainsFunc(s.files(t), func(f string) bool {
					return strings.HasPrefix(f, where) && strings.HasPrefix(filepath.Base(f), uid)
				}) {
					t.Errorf("%s is not in %s: %q", uid, where, s.files(t))
				}
			}
			d.stop(t)
			d = s.start(t)
			same(t, "left after a restart", d.uids(t), left)
			if list := s.run(t, "undelete", "bob"); strings.Count(list, "\n") != 3 {
				t.Errorf("undelete lists\n%s", list)
			}
			s.run(t, "undelete", "-uid", before[2], "bob")
			same(t, "after one came back", d.uids(t), before[1:])
			s.run(t, "undelete", "-all", "bob")
			same(t, "after all came back", d.uids(t), before)
		})
	}
}

// fetchmail, which keeps what it fetched on the server, does not fetch again
// what was deleted and restored.
func TestFetchmailUndelete(t *testing.T) {
	t.Parallel()
	s := newTerms(t, `deletion = "quarantine"`, "")
	d := s.start(t)
	texts := s.deliver(t, "bob", 3)
	f := s.newFetchmail(t, "", "proto POP3 auth password uidl port "+d.port(t, "pop3s"), "user bob password '"+bobPassword+"' keep "+allTLS)
	f.collects(t, texts)
	c := d.bob(t)
	c.ok("DELE 2")
	c.ok("QUIT")
	if n := len(d.uids(t)); n != 2 {
		t.Fatalf("%d messages are left, want 2", n)
	}
	s.run(t, "undelete", "-all", "bob")
	f.poll(t).exits(t, fetchmailNone)
	texts = append(texts, s.deliver(t, "bob", 1)...)
	f.collects(t, texts)
}

// What RETR fetched is seen, for IMAP, after QUIT; what TOP showed is not, nor
// what a session fetched that broke off.
func TestMarkSeen(t *testing.T) {
	t.Parallel()
	s := newTerms(t, "mark_seen = true", "")
	s.deliver(t, "bob", 4)
	d := s.start(t)
	before, files := d.uids(t), s.files(t)
	cut := d.bob(t)
	cut.listing("RETR 1")
	mark := d.log.mark()
	cut.Close()
	d.log.awaitFrom(t, mark, "end", nil)
	same(t, "files after a session that broke off", s.files(t), files)

	c := d.bob(t)
	c.listing("RETR 1")
	c.listing("TOP 2 99999999")
	c.listing("RETR 3")
	c.ok("DELE 3")
	c.ok("QUIT")
	same(t, "files", s.files(t), []string{"cur/" + before[0] + ":2,S", "new/" + before[1], "new/" + before[3]})
	same(t, "unique-ids", d.uids(t), slices.Delete(slices.Clone(before), 2, 3))
}

// The pause between two logins holds from one process to the next, after a right
// password only, and is announced.
func TestLoginDelay(t *testing.T) {
	t.Parallel()
	s := newTerms(t, `login_delay = "10m"`, "retention {\n  maildrops = [\"bob\"]\n  expire = \"30d\"\n}\nretention {\n  expire = \"never\"\n}\n")
	d := s.start(t)
	capa := dial(t, d.addrs["clear"])
	capa.line()
	for _, line := range []string{"EXPIRE 30 USER", "LOGIN-DELAY 600 USER"} {
		if got := capa.listing("CAPA"); !slices.Contains(got, line) {
			t.Errorf("before login %q is not in %q", line, got)
		}
	}
	c := d.bob(t)
	for _, line := range []string{"EXPIRE 30", "LOGIN-DELAY 600"} {
		if got := c.listing("CAPA"); !slices.Contains(got, line) {
			t.Errorf("after login %q is not in %q", line, got)
		}
	}
	c.ok("QUIT")
	d.stop(t)
	d = s.start(t)
	mark := d.log.mark()
	early := dial(t, d.addrs["clear"])
	early.line()
	early.ok("USER bob")
	if got := early.say("PASS wrong"); got != "-ERR [AUTH] Authentication failed" {
		t.Errorf("a wrong password: %s", got)
	}
	early.ok("USER bob")
	if got := early.say("PASS %s", bobPassword); !strings.HasPrefix(got, "-ERR [LOGIN-DELAY] Minimum time between logins is 600 seconds, log in again in ") {
		t.Errorf("the right password: %s", got)
	}
	d.refused(t, mark, "wrong-password")
	d.log.awaitFrom(t, mark, "refused", func(rec map[string]any) bool { return rec["reason"] == "login-delay" })

	// fetchmail takes it for a server that is busy, and not for a wrong password.
	f := s.newFetchmail(t, "", "proto POP3 auth password uidl port "+d.port(t, "pop3s"), "user bob password '"+bobPassword+"' keep "+allTLS)
	f.poll(t).exits(t, fetchmailBusy).says(t, "[LOGIN-DELAY]")

	// Ten minutes later.
	last := time.Now().Add(-10*time.Minute - time.Second).UTC().Format("2006-01-02T15:04:05.000000Z")
	s.write(t, "state/logins/bob%2FMaildir", last+"\n")
	d.bob(t).ok("QUIT")
	f.poll(t).exits(t, fetchmailBusy)
}

// fetchmailBusy is fetchmail's exit status for a maildrop that is in use.
const fetchmailBusy = 9

// The server sweeps by itself. A maildrop that somebody has is left alone, and
// what is removed is recorded.
func TestSweepInterval(t *testing.T) {
	t.Parallel()
	s := newTerms(t, "", "sweep_interval = \"1m\"\nretention {\n  expire = \"30d\"\n}\n")
	for _, name := range []string{"alice", "bob"} {
		s.deliver(t, name, 2)
		s.writeOld(t, name, "new/1000000000.old")
	}
	locks, err := lease.Open(filepath.Join(s.Dir, "state", "locks"))
	if err != nil {
		t.Fatal(err)
	}
	defer locks.Close()
	held, err := locks.Lock(t.Context(), "bob/Maildir")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	d := s.start(t)
	rec := d.log.await(t, "swept", nil)
	for key, want := range map[string]float64{"maildrops": 1, "expired": 1, "purged": 0, "busy": 1, "failed": 0} {
		if rec[key] != want {
			t.Errorf("swept: %s is %v, want %v", key, rec[key], want)
		}
	}
	if n, m := len(s.messages(t, "alice")), len(s.messages(t, "bob")); n != 2 || m != 3 {
		t.Errorf("%d and %d messages, want 2 and 3", n, m)
	}
	d.log.await(t, "expired", func(rec map[string]any) bool { return rec["maildrop"] == "alice" && rec["uid"] == "1000000000.old" })
	text, err := os.ReadFile(filepath.Join(s.Dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	var first map[string]any
	if err := json.Unmarshal(bytes.SplitAfter(text, []byte("\n"))[0], &first); err != nil || first["event"] != "expired" || first["maildrop"] != "alice" {
		t.Errorf("audit: %s, %v", text, err)
	}
	d.stop(t)
}

// writeOld puts a message into a Maildir that is as old as its name says.
func (s *site) writeOld(t testing.TB, name, file string) {
	t.Helper()
	path := filepath.Join(s.Dir, "mail", name, "Maildir", file)
	then := time.Unix(1_000_000_000, 0)
	if err := os.WriteFile(path, []byte("Subject: old\n\nold\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

// Who is not the server's user leaves its state alone.
func TestSameUser(t *testing.T) {
	dir, others := t.TempDir(), "/" // root's
	if os.Geteuid() == 0 {
		others = t.TempDir()
		if err := os.Chown(others, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	}
	if err := sameUser(dir); err != nil {
		t.Errorf("in one's own: %v", err)
	}
	if err := sameUser(filepath.Join(dir, "none")); err != nil {
		t.Errorf("where there is none: %v", err)
	}
	if err := sameUser(others); err == nil || !strings.Contains(err.Error(), "belongs to the user") {
		t.Errorf("in another's: %v", err)
	}
}
