package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A mailUser is a client that says one line at a time.
type mailUser struct {
	testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// dialUser logs in as bob where passwords may cross in the clear. say expects
// each answer.
func dialUser(t testing.TB, addr string) *mailUser {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	u := &mailUser{t, conn, bufio.NewReader(conn)}
	u.answer("+OK")
	u.say("USER bob", "+OK")
	return u
}

func (u *mailUser) say(line, want string) string {
	u.Helper()
	fmt.Fprintf(u.conn, "%s\r\n", line)
	return u.answer(want)
}

func (u *mailUser) answer(want string) string {
	u.Helper()
	got, err := u.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(got, want) {
		u.Fatalf("answer %q, %v; want %s", got, err, want)
	}
	return got
}

// listLocks returns what "kpopd locks -json" says.
func listLocks(t testing.TB, config string) (all []lockSays) {
	t.Helper()
	out, err := kpopd("locks", "-json", "-config", config).Output()
	if err == nil {
		err = json.Unmarshal(out, &all)
	}
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return all
}

// Two servers share a state directory. One stops in the middle of a session: its
// lock is listed and taken away, the other serves the maildrop at once, and what
// the first was told to delete stays.
func TestUnlockStopped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deliver(t, "bob", 3)
	config := s.config(t)
	first, second := startDaemon(t, config), startDaemon(t, config)
	login := "PASS " + bobPassword

	if out, err := kpopd("unlock", "bob", "-config", config).CombinedOutput(); err == nil || !strings.Contains(string(out), "no such session") {
		t.Errorf("unlock of what is free: %v: %s", err, out)
	}
	a := dialUser(t, first.addrs["clear"])
	a.say(login, "+OK 3 messages")
	a.say("DELE 1", "+OK")
	locked := listLocks(t, config)
	if len(locked) != 1 {
		t.Fatalf("locks: %+v", locked)
	}
	l := locked[0]
	conn := first.log.await(t, "login", nil)["conn"]
	if l.Maildrop != "bob" || l.Place != "bob/Maildir" || l.PID != first.cmd.Process.Pid || l.User != "bob" || l.Mechanism != "USER" ||
		l.Listener != "clear" || l.Client != a.conn.LocalAddr().String() || l.Conn != conn || time.Since(l.Since) > time.Hour {
		t.Errorf("locks: %+v", l)
	}
	b := dialUser(t, second.addrs["clear"])
	b.say(login, "-ERR [IN-USE]")

	if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if out, err := kpopd("unlock", "bob", "-token", "1", "-config", config).CombinedOutput(); err == nil {
		t.Errorf("unlock with another's token: %s", out)
	}
	out, err := kpopd("unlock", "bob", "-token", strconv.FormatUint(l.Token, 10), "-config", config).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "bob is free") || !strings.Contains(string(out), l.Conn) {
		t.Fatalf("unlock: %v: %s", err, out)
	}
	if still := listLocks(t, config); len(still) != 0 {
		t.Errorf("locks: %+v", still)
	}
	b.say("USER bob", "+OK")
	b.say(login, "+OK 3 messages")
	b.say("DELE 2", "+OK")
	if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	a.say("QUIT", "-ERR [SYS/TEMP] The maildrop was taken from this session")
	first.log.await(t, "end", func(rec map[string]any) bool { return rec["reason"] == "lock-lost" })
	b.say("QUIT", "+OK")
	if left := s.messages(t, "bob"); len(left) != 2 {
		t.Errorf("%d messages are left, want 2", len(left))
	}
}
