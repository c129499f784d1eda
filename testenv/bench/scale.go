package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A curve is a plot of rows, each of which is one or more points of it.
type curve struct {
	name, title, x string
	log            bool // the horizontal axis is logarithmic
}

var (
	bySessions  = curve{"sessions", "Logins beside idle sessions", "idle sessions", false}
	byMessages  = curve{"messages", "Logins by the size of the maildrop", "messages", true}
	byMaildrops = curve{"maildrops", "Logins by the number of maildrops", "maildrops", true}
)

// measures are what is drawn: a field of popbench's, by the end of the file's name.
var measures = []struct{ name, field, title string }{
	{"rate", "rate", "logins a second"},
	{"cpu", "server.cpu_ms_per_operation", "server CPU of a login, ms"},
}

// scales are the rows of -scale.
func (p pace) scales() (all []row) {
	all = append(p.beside(), p.byMessages()...)
	for _, n := range p.some(1_000, 10_000, 100_000, 1_000_000) {
		all = append(all, p.byMaildrops(n))
	}
	return append(all, p.many())
}

// beside are logins beside idle sessions. Dovecot has a process for each of them.
func (p pace) beside() (all []row) {
	const users = 100
	most := p.sessions(10_000)
	at := &setting{users: users + most, fill: fillAll(users+most, 3, 4<<10, byDovecot), servers: three}
	for _, n := range []int{0, most / 100, most / 10, most} {
		r := row{
			name: fmt.Sprintf("scale/sessions/%d", n), what: fmt.Sprintf("logins beside %s idle sessions", thousands(n)),
			setting: at, value: perSecond, runs: beside("pop3", load("login", 8, users)...), curve: bySessions, x: n, held: n, heldFrom: users,
		}
		if n > 1000 {
			r.runs = append(r.runs[:1], r.runs[2:]...)
		}
		all = append(all, r)
	}
	return all
}

// byMessages are logins to larger and larger maildrops.
func (p pace) byMessages() (all []row) {
	for _, n := range p.some(10, 100, 1_000, 10_000, 100_000) {
		users := min(4, 200_000/n)
		at := &setting{users: users, fill: fillAll(users, n, 4<<10, byDovecot), servers: three}
		all = append(all, row{
			name: fmt.Sprintf("scale/messages/%d", n), what: fmt.Sprintf("login + STAT + QUIT, %s messages", thousands(n)),
			setting: at, value: perSecond, runs: beside("pop3", load("login", users, users)...), curve: byMessages, x: n,
		})
	}
	return all
}

// byMaildrops is logins where there are so many maildrops, and as many lines in the
// file of users: to a thousand in their middle, and to each of others for the
// first time.
func (p pace) byMaildrops(n int) row {
	n = p.n(n)
	again, first := n/2, n/2/p.rounds
	at := &setting{users: n, fill: func(s *site) { s.furnish(n) }, servers: three[:1]}
	return row{
		name: fmt.Sprintf("scale/maildrops/%d", n), what: fmt.Sprintf("login + STAT + QUIT, %s maildrops", thousands(n)),
		setting: at, value: perSecond, curve: byMaildrops, x: n, fresh: min(1000, first),
		runs: []run{
			{label: "kpopd, maildrops seen before", server: "kpopd", port: "pop3",
				args: append(load("login", 8, min(1000, n-again)), "-first-user", fmt.Sprint(again), "-duration", p.seconds.String())},
			{label: "kpopd, maildrops not seen before", server: "kpopd", port: "pop3", args: load("first", 8, min(1000, first))},
		},
	}
}

// furnish makes empty Maildirs for n users of the first server.
func (s *site) furnish(n int) {
	for i := range n {
		dir := filepath.Join(s.mails[0], userName(i))
		for _, sub := range []string{"", "Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"} {
			s.must(os.Mkdir(filepath.Join(dir, sub), 0o755))
		}
	}
}

// many is the memory of as many sessions as a large server has, which are shared
// by as many processes as have the files for them.
func (p pace) many() row {
	n := p.n(50_000)
	shared, processes := three[0], (n-1)/p.sessions(50_000)+1
	if p.quick {
		processes = 2
	}
	shared.crew = processes - 1
	answers := frugal
	answers.crew = shared.crew
	n -= n % processes
	at := &setting{users: n, fill: fillAll(n, 3, 4<<10, byDovecot), servers: []server{shared, answers}}
	hold := append(load("idle", 8, n), "-sessions", fmt.Sprint(n))
	return row{
		name: "scale/idle", what: fmt.Sprintf("memory per idle session of %s, plain, in %d processes", thousands(n), processes), setting: at, value: kibibytes, once: true,
		runs: []run{
			{label: "kpopd", server: "kpopd", port: "pop3", args: hold},
			{label: "limit", server: "limit", port: "pop3", args: hold},
		},
	}
}

// hold opens n sessions of users from a number on, and returns what closes them.
func (s *site) hold(n, first int, addr string) (release func()) {
	conns := make([]net.Conn, n)
	var openers sync.WaitGroup
	const few = 8 // at a time
	errs := make(chan error, few)
	for k := range few {
		openers.Go(func() {
			for i := k; i < n; i += few {
				var err error
				if conns[i], err = login(addr, userName(first+i)); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	openers.Wait()
	release = func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}
	if len(errs) > 0 {
		release()
		s.Fatal(<-errs)
	}
	return release
}

// login returns a session of a user's.
func login(addr, user string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReaderSize(conn, 512)
	for _, command := range []string{"", "USER " + user + "\r\n", "PASS " + password + "\r\n"} {
		conn.Write([]byte(command)) // the read tells
		if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+OK") {
			conn.Close()
			return nil, fmt.Errorf("%s: %q, %v", user, line, err)
		}
	}
	return conn, nil
}

// plot draws the curves of rows that were measured, into the directory of -out.
func (o *options) plot(t *stage, rows []row) {
	lines := map[curve]*bytes.Buffer{}
	for _, r := range rows {
		if r.curve.name == "" {
			continue
		}
		if lines[r.curve] == nil {
			lines[r.curve] = new(bytes.Buffer)
		}
		for _, one := range o.results[r.name] {
			lines[r.curve].Write(append(one.line, '\n'))
		}
	}
	for c, text := range lines {
		points := filepath.Join(o.out, c.name+".jsonl")
		t.must(os.WriteFile(points, text.Bytes(), 0o644))
		for _, m := range measures {
			svg := filepath.Join(o.out, c.name+"-"+m.name+".svg")
			cmd := exec.CommandContext(t.Context(), o.tools.popbench, "plot", "-title", c.title, "-x-title", c.x,
				"-y", m.field, "-y-title", m.title, fmt.Sprintf("-log-x=%t", c.log), "-log-y", "-o", svg, points)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("popbench plot %s: %v\n%s", points, err, out)
			}
		}
	}
}
