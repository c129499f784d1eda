package main

import (
	"fmt"
	"slices"
	"strconv"
)

// rows are all that the bench measures.
func (p pace) rows() []row {
	return slices.Concat(p.logins(), p.checks(), p.firsts(), p.retrievals(), p.drains(), p.memory(), p.abuses(), p.kerberos(), p.passwords())
}

// n is a number of messages, accounts or sessions, or less when it has to be quick.
func (p pace) n(full int) int {
	if p.quick {
		return max(1, full/50)
	}
	return full
}

// some are numbers, or only the first when it has to be quick.
func (p pace) some(all ...int) []int {
	if p.quick {
		return all[:1]
	}
	return all
}

// three are the servers of most rows.
var three = []server{kpopd("kpopd", kpopdSetup{}), dovecot("Dovecot"), limit}

// beside has kpopd do something, and Dovecot and the limit server the same.
func beside(port string, args ...string) []run {
	return []run{
		{label: "kpopd", server: "kpopd", port: port, args: args},
		{label: "Dovecot", server: "Dovecot", port: port, args: args},
		{label: "limit", server: "limit", port: port, args: args},
	}
}

// load is a command line of popbench, for so many users, but for where to.
func load(workload string, clients, users int, more ...string) []string {
	return append([]string{workload, "-clients", strconv.Itoa(clients), "-user", "user%04d", "-users", strconv.Itoa(users),
		"-password", password}, more...)
}

// fillAll gives all users the same.
func fillAll(users, n, size int, f form) func(*site) {
	return func(s *site) {
		for i := range users {
			s.fill(i, n, size, f)
		}
	}
}

// ways are what a connection is, by the end of a row's name.
var ways = []struct{ name, what, port, tls string }{
	{"plain", "plain", "pop3", "none"},
	{"tls", "full TLS 1.3 handshakes", "pop3s", "implicit"},
	{"resumed", "TLS resumed", "pop3s", "resumed"},
}

// logins are sessions with small maildrops: with so many clients at a time that
// no server waits for any, and with as many as leave it waiting now and then.
func (p pace) logins() (all []row) {
	const users = 100
	at := &setting{users: users, fill: fillAll(users, 10, 4<<10, byDovecot), servers: three}
	for _, w := range ways {
		for _, clients := range []int{64, 8} {
			all = append(all, row{
				name:    fmt.Sprintf("login/%s/%d", w.name, clients),
				what:    fmt.Sprintf("login + STAT + QUIT, %s, %d clients", w.what, clients),
				setting: at, value: perSecond, runs: beside(w.port, load("login", clients, users, "-tls", w.tls)...),
			})
		}
	}
	return all
}

// checks are sessions that look whether there is mail, and there is no more than
// the last time.
func (p pace) checks() (all []row) {
	for _, n := range p.some(1_000, 10_000, 100_000) {
		clients := min(4, 200_000/n)
		at := &setting{users: clients, fill: fillAll(clients, p.n(n), 4<<10, byDovecot), servers: three}
		all = append(all, row{
			name: fmt.Sprintf("check/%d", n), what: fmt.Sprintf("login + STAT + UIDL of %s messages, warm", thousands(p.n(n))),
			setting: at, value: perSecond, runs: beside("pop3", load("check", clients, clients)...),
		})
	}
	return all
}

// firsts are the first sessions with mail that no server has seen.
func (p pace) firsts() (all []row) {
	for _, k := range []struct {
		name, what string
		form       form
	}{{"plain", "no size in the file names", read}, {"sized", "sizes in the file names", byDovecot}} {
		for _, n := range p.some(1_000, 10_000, 100_000) {
			accounts := min(5, 100_000/n)
			at := &setting{users: accounts * (p.rounds + 1), fill: fillAll(accounts, p.n(n), 4<<10, k.form), servers: three[:2]}
			all = append(all, row{
				name: fmt.Sprintf("first/%s/%d", k.name, n), what: fmt.Sprintf("first open of %s messages, %s", thousands(p.n(n)), k.what),
				setting: at, value: perSecond, runs: beside("pop3", load("first", 1, accounts)...)[:2],
				fresh: accounts, renewed: true,
			})
		}
	}
	return all
}

// texts are the messages that are retrieved: each kind is in the Maildirs of
// retrievers users.
var texts = []struct {
	name, what string
	n, size    int
	form       form
}{
	{"4k", "4 KB", 1000, 4 << 10, byPostfix},
	{"50k", "50 KB", 400, 50 << 10, byPostfix},
	{"5m", "5 MB", 8, 5 << 20, byPostfix},
	{"ready-5m", "5 MB, stored as it goes out", 8, 5 << 20, wireReady},
}

const retrievers = 4

// retrievals are sessions that read.
func (p pace) retrievals() (all []row) {
	at := &setting{users: retrievers * len(texts), servers: three, fill: func(s *site) {
		for i, t := range texts {
			s.declare(max(p.n(t.n), 4), t.size)
			for k := range retrievers {
				s.fill(i*retrievers+k, max(p.n(t.n), 4), t.size, t.form)
			}
		}
	}}
	add := func(text int, way int, depth int, v value) {
		t, w := texts[text], ways[way]
		what := fmt.Sprintf("RETR %s, %s", t.what, []string{"plain", "TLS"}[way])
		name := fmt.Sprintf("retr/%s/%s", t.name, w.name)
		if depth > 1 {
			what, name = fmt.Sprintf("%s, pipelined %d deep", what, depth), fmt.Sprintf("%s/deep", name)
		}
		args := load("retr", retrievers, retrievers, "-tls", w.tls, "-first-user", strconv.Itoa(text*retrievers), "-pipeline", strconv.Itoa(depth))
		all = append(all, row{
			name: name, what: what, setting: at, value: v, runs: beside(w.port, args...), checked: manifest(max(p.n(t.n), 4), t.size),
		})
	}
	for way := range 2 {
		add(0, way, 1, perSecond)
		add(0, way, 16, perSecond)
		add(1, way, 1, megabytes)
		add(2, way, 1, megabytes)
	}
	add(3, 0, 1, megabytes)
	return all
}

// drains are sessions that leave nothing behind. When kpopd says +OK to QUIT, it has
// synced the directory of the messages and that of its index, so that none comes
// back. Dovecot syncs its index and the log of that, twice a session by default and
// eight times where mail_fsync says so, and never the directory: see strace.
func (p pace) drains() (all []row) {
	const accounts = 8
	for _, k := range []struct{ name, what, more string }{
		{"default", "Dovecot with mail_fsync = optimized, the default", ""},
		{"fsync", "Dovecot with mail_fsync = always", "mail_fsync = always\n"},
	} {
		users, n := accounts*p.rounds, p.n(1000)
		at := &setting{users: users, fill: fillAll(users, n, 4<<10, byDovecot), servers: []server{three[0], dovecot("Dovecot", k.more), limit}}
		all = append(all, row{
			name: "drain/" + k.name, what: fmt.Sprintf("drain: RETR and DELE all of %s 4 KB messages, QUIT; %s", thousands(n), k.what),
			setting: at, value: perSecond, runs: beside("pop3", load("drain", 4, accounts)...), fresh: accounts,
		})
	}
	return all
}

// thousands writes 100000 as 100,000.
func thousands(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// memory is what an open session takes while it waits.
func (p pace) memory() (all []row) {
	sessions, few := p.sessions(10_000), p.sessions(1_000)
	const crowded = "Dovecot, 100 sessions a process"
	shared := "service pop3 {\n  client_limit = 100\n}\n"
	at := &setting{users: sessions, fill: fillAll(sessions, 3, 4<<10, byDovecot),
		servers: []server{three[0], dovecot("Dovecot"), dovecot(crowded, shared), frugal}}
	for _, w := range ways[:2] {
		hold := func(n int) []string {
			return append(load("idle", 8, n, "-tls", w.tls), "-sessions", strconv.Itoa(n))
		}
		all = append(all, row{
			name: "memory/" + w.name, what: fmt.Sprintf("memory per idle session of %s, %s", thousands(sessions), []string{"plain", "TLS"}[len(all)]),
			setting: at, value: kibibytes, once: true,
			runs: []run{
				{label: "kpopd", server: "kpopd", port: w.port, args: hold(sessions), against: crowded},
				{label: "Dovecot", server: "Dovecot", port: w.port, args: hold(few)},
				{label: crowded, server: crowded, port: w.port, args: hold(few)},
				{label: "limit", server: "limit", port: w.port, args: hold(sessions)},
			},
		})
	}
	return all
}
