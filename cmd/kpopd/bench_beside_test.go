package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"kpopd/testenv"
)

// BenchmarkBesideDovecot runs kpopd and Debian's Dovecot on copies of the same
// Maildirs, in turns, and reports medians: the CPU time of all processes of a
// server, the time that its client waits, and the ratios of both, kpopd's by
// Dovecot's, so that less than 1 is better.
//
//	go test ./cmd/kpopd -run '^$' -bench BesideDovecot -benchtime 1x
//
// The messages are hard links to the same files, which are in the page cache.
// Dovecot keeps its login and pop3 processes, writes no flags, trusts the times
// of directories (maildir_very_dirty_syncs) and logs what it logs by default;
// kpopd has what it has by default. Both take passwords in the clear from a
// file. The client has one connection and waits for each answer.
func BenchmarkBesideDovecot(b *testing.B) {
	p := newPair(b)
	for _, n := range []int{1_000, 10_000, 100_000} {
		for _, names := range []string{"sized", "plain"} {
			user := fmt.Sprintf("%s%d", names, n)
			open := func(work func(*testing.B)) func(*testing.B) {
				return func(b *testing.B) {
					p.fill(b, user, n, 4<<10, names == "sized")
					work(b)
				}
			}
			b.Run(fmt.Sprintf("First/%s/%d", names, n), open(func(b *testing.B) { p.benchFirst(b, user) }))
			b.Run(fmt.Sprintf("Warm/%s/%d", names, n), open(func(b *testing.B) { p.benchWarm(b, user, max(1, 20_000/n)) }))
		}
	}
	for _, m := range []struct {
		name    string
		n, size int
	}{{"4kb", 1000, 4 << 10}, {"50kb", 400, 50 << 10}, {"5mb", 8, 5 << 20}} {
		for _, secure := range []bool{false, true} {
			b.Run(fmt.Sprintf("Retr/%s/tls=%t", m.name, secure), func(b *testing.B) {
				p.fill(b, "retr"+m.name, m.n, m.size, true)
				p.benchRetr(b, "retr"+m.name, secure)
			})
		}
	}
	b.Run("Drain/4kb/1000", func(b *testing.B) { p.benchDrain(b, 1000, 4<<10) })
	b.Run("Memory/sized/100000", func(b *testing.B) {
		p.fill(b, "sized100000", 100_000, 4<<10, true)
		p.benchMemory(b, "sized100000")
	})
}

// benchTurns is how often each of the two has its turn, at the least.
const benchTurns = 5

const benchPassword = "sesam"

// A pair is the two servers, with a copy of all Maildirs for each.
type pair struct {
	dir   string
	sides [2]*side // kpopd, Dovecot
	names int      // of users that were given
}

// A side is one of the servers.
type side struct {
	mail         string // the directory of Maildirs, USER/Maildir
	clear, pop3s string // addresses
	roots        *x509.CertPool
	pids         func() []int
}

const besideConfig = `
hostname  = "localhost"
state_dir = "{{.State}}"
listener "clear" {
  address           = "127.0.0.1:0"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "any"
}
listener "pop3s" {
  address  = "127.0.0.1:0"
  protocol = "pop3"
  tls      = "implicit"
}
tls {
  certificate {
    cert_file = "{{.Cert}}"
    key_file  = "{{.Key}}"
  }
}
authenticator "file" "users" {
  path = "{{.Dir}}/users"
}
maildrop "maildir" {
  path = "{{.Mail}}/${maildrop}/Maildir"
}
log {
  format = "json"
}
`

const besideDovecot = `pop3_no_flag_updates = yes
maildir_very_dirty_syncs = yes
service pop3-login {
  service_count = 0
  process_min_avail = 2
}
service pop3 {
  service_count = 0
  process_min_avail = 1
}
`

// spareNames is how many users there are besides those with a name of their own,
// for Maildirs that no server has seen.
const spareNames = 400

var besideNames = []string{"sized1000", "plain1000", "sized10000", "plain10000", "sized100000", "plain100000",
	"retr4kb", "retr50kb", "retr5mb"}

func newPair(b *testing.B) *pair {
	p := &pair{dir: b.TempDir()}
	for _, sub := range []string{"kpopd", "dovecot", "pool"} {
		if err := os.Mkdir(filepath.Join(p.dir, sub), 0o755); err != nil {
			b.Fatal(err)
		}
	}
	p.sides = p.start(b)
	return p
}

// start starts both servers, without an index of anything, until the end of b.
func (p *pair) start(b *testing.B) [2]*side {
	return [2]*side{p.startKpopd(b), p.startDovecot(b)}
}

func (p *pair) users() []string {
	names := slices.Clone(besideNames)
	for i := range spareNames {
		names = append(names, fmt.Sprintf("spare%d", i))
	}
	return names
}

func (p *pair) startKpopd(b *testing.B) *side {
	b.Helper()
	ca, err := testenv.NewCA()
	if err != nil {
		b.Fatal(err)
	}
	cert, err := ca.Server("localhost", "127.0.0.1")
	if err != nil {
		b.Fatal(err)
	}
	s := &side{mail: filepath.Join(p.dir, "kpopd"), roots: ca.Pool()}
	dir := b.TempDir()
	var users, config bytes.Buffer
	for _, name := range p.users() {
		fmt.Fprintf(&users, "%s:{PLAIN}%s\n", name, benchPassword)
	}
	facts := map[string]string{"Dir": dir, "State": filepath.Join(dir, "state"), "Mail": s.mail}
	facts["Cert"], facts["Key"] = cert.Files(b)
	if err := template.Must(template.New("").Parse(besideConfig)).Execute(&config, facts); err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(dir, "kpopd.hcl")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "users"), users.Bytes(), 0o600), os.WriteFile(path, config.Bytes(), 0o600)); err != nil {
		b.Fatal(err)
	}
	d := startDaemon(b, path)
	s.clear, s.pop3s, s.pids = d.addrs["clear"], d.addrs["pop3s"], func() []int { return []int{d.cmd.Process.Pid} }
	return s
}

func (p *pair) startDovecot(b *testing.B) *side {
	b.Helper()
	users := map[string]string{}
	for _, name := range p.users() {
		users[name] = benchPassword
	}
	mail := filepath.Join(p.dir, "dovecot")
	d := testenv.StartDovecot(b, testenv.DovecotConfig{Mail: mail, Users: users, Extra: besideDovecot})
	return &side{mail: mail, clear: d.POP3, pop3s: d.POP3S, roots: d.CA.Pool(), pids: d.Pids}
}

// spare returns the name of a user that was nobody's before.
func (p *pair) spare(b *testing.B) string {
	if p.names++; p.names > spareNames {
		b.Fatal("no names are left")
	}
	return fmt.Sprintf("spare%d", p.names-1)
}

// fill makes a Maildir of n messages for both servers, if it is not there. sized: their names tell
// their sizes, as those that Dovecot delivers do.
func (p *pair) fill(b *testing.B, user string, n, size int, sized bool) {
	b.Helper()
	pool, wire := p.messages(b, min(n, 1000), size)
	for _, s := range p.sides {
		maildir := filepath.Join(s.mail, user, "Maildir")
		if _, err := os.Stat(maildir); err == nil {
			continue
		}
		for _, sub := range []string{"cur", "new", "tmp"} {
			if err := os.MkdirAll(filepath.Join(maildir, sub), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		for i := range n {
			name := fmt.Sprintf("cur/%d.M%06dP42.mail", 1_700_000_000+i, i)
			if sized {
				name += fmt.Sprintf(",S=%d,W=%d", size, wire)
			}
			if err := os.Link(pool[i%len(pool)], filepath.Join(maildir, name+":2,S")); err != nil {
				b.Fatal(err)
			}
		}
		s.own(b, filepath.Join(s.mail, user))
	}
}

// own gives directories to the user of Dovecot's mail, where there is one.
func (s *side) own(b *testing.B, dir string) {
	if os.Geteuid() != 0 {
		return
	}
	const mail = 8
	for _, sub := range []string{"", "Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"} {
		if err := os.Chown(filepath.Join(dir, sub), mail, mail); err != nil {
			b.Fatal(err)
		}
	}
}

// messages makes n different messages of a size, in octets with LF, and tells
// the size with CRLF.
func (p *pair) messages(b *testing.B, n, size int) (files []string, wire int) {
	b.Helper()
	for i := range n {
		path := filepath.Join(p.dir, "pool", fmt.Sprintf("%d-%d", size, i))
		files = append(files, path)
		var text bytes.Buffer
		fmt.Fprintf(&text, "From: a@example.test\nMessage-ID: <%d.%d@example.test>\nSubject: a message\n\n", size, i)
		for text.Len() < size-1 {
			line := "Sphinx of black quartz, judge my vow. The five boxing wizards jump quickly.."
			text.WriteString(line[:min(len(line), size-1-text.Len())] + "\n")
		}
		text.Truncate(size - 1)
		text.WriteString("\n")
		wire = size + bytes.Count(text.Bytes(), []byte("\n"))
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
			b.Fatal(err)
		}
		if os.Geteuid() == 0 {
			os.Chown(path, 8, 8)
		}
	}
	return files, wire
}

// cpu returns what each thread of the server has used, in nanoseconds
// (proc(5), schedstat), once none of them is busy any more.
func (s *side) cpu() map[string]uint64 {
	last, quiet := s.threads(), 0
	for end := time.Now().Add(5 * time.Second); quiet < 3 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
		now := s.threads()
		if quiet++; used(last, now) > 200_000 { // timers of Go's
			quiet = 0
		}
		last = now
	}
	return last
}

func (s *side) threads() map[string]uint64 {
	all := map[string]uint64{}
	for _, pid := range s.pids() {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, file := range files {
			text, _ := os.ReadFile(file) // empty, where it has ended
			first, _, _ := strings.Cut(string(text), " ")
			all[file], _ = strconv.ParseUint(first, 10, 64)
		}
	}
	return all
}

func used(before, after map[string]uint64) (total uint64) {
	for thread, n := range after {
		total += n - min(n, before[thread])
	}
	return total
}

// A cost is what one piece of work costs, in milliseconds.
type cost struct{ cpu, wall float64 }

// measure has a server do n pieces of work.
func (s *side) measure(n int, work func()) cost {
	before, start := s.cpu(), time.Now()
	work()
	wall := time.Since(start)
	ms := float64(time.Millisecond) * float64(n)
	return cost{float64(used(before, s.cpu())) / ms, float64(wall) / ms}
}

// turns has both servers do the same in turns, and reports.
func (p *pair) turns(b *testing.B, turn func(*side) cost) {
	b.Helper()
	var cpu, wall [2][]float64
	for i := range benchTurns {
		for k := range 2 {
			k = (k + i) % 2
			c := turn(p.sides[k])
			cpu[k], wall[k] = append(cpu[k], c.cpu), append(wall[k], c.wall)
		}
	}
	report := func(what string, t [2][]float64) {
		ours, theirs := median(t[0]), median(t[1])
		b.ReportMetric(ours/theirs, what+"-ratio")
		b.ReportMetric(ours, "kpopd-"+what+"-ms")
		b.ReportMetric(theirs, "dovecot-"+what+"-ms")
	}
	report("cpu", cpu)
	report("wall", wall)
	b.ReportMetric(0, "ns/op")
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// A besideClient is a client that costs little.
type besideClient struct {
	testing.TB
	conn net.Conn
	buf  []byte
}

func (s *side) login(b testing.TB, user string, secure bool) *besideClient {
	b.Helper()
	addr := s.clear
	if secure {
		addr = s.pop3s
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	if secure {
		t := tls.Client(conn, &tls.Config{RootCAs: s.roots, ServerName: "localhost", CurvePreferences: []tls.CurveID{tls.X25519}})
		if err := t.Handshake(); err != nil {
			b.Fatal(err)
		}
		if state := t.ConnectionState(); state.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			b.Fatalf("the cipher is %s", tls.CipherSuiteName(state.CipherSuite))
		}
		conn = t
	}
	c := &besideClient{b, conn, make([]byte, 1<<20)}
	c.read([]byte("\n"))
	c.one("USER " + user)
	c.one("PASS " + benchPassword)
	return c
}

// one sends a command that has an answer of one line.
func (c *besideClient) one(command string) {
	c.Helper()
	fmt.Fprintf(c.conn, "%s\r\n", command)
	c.read([]byte("\n"))
}

// many sends a command that has an answer of several lines.
func (c *besideClient) many(command string) {
	c.Helper()
	fmt.Fprintf(c.conn, "%s\r\n", command)
	c.read([]byte("\r\n.\r\n"))
}

// read reads up to what ends with end: nothing follows an answer.
func (c *besideClient) read(end []byte) {
	c.Helper()
	for kept, first := 0, true; ; first = false {
		n, err := c.conn.Read(c.buf[kept:])
		if err != nil || first && (n == 0 || c.buf[0] != '+') {
			c.Fatalf("%v: %.200s", err, c.buf[:kept+n])
		}
		got := c.buf[:kept+n]
		if bytes.HasSuffix(got, end) {
			return
		}
		kept = copy(c.buf, got[max(0, len(got)-len(end)+1):])
	}
}

func (c *besideClient) quit() {
	c.Helper()
	c.one("QUIT")
	c.conn.Close()
}

// check is a session that only looks.
func (s *side) check(b testing.TB, user string) {
	b.Helper()
	c := s.login(b, user, false)
	c.one("STAT")
	c.many("UIDL")
	c.quit()
}

// benchFirst opens a Maildir that has no index.
func (p *pair) benchFirst(b *testing.B, user string) {
	p.turns(b, func(s *side) cost {
		name := p.spare(b)
		s.rename(b, user, name)
		defer s.rename(b, name, user)
		return s.measure(1, func() { s.check(b, name) })
	})
}

// rename gives a Maildir to somebody who was never seen, without Dovecot's index.
func (s *side) rename(b *testing.B, from, to string) {
	b.Helper()
	if err := os.Rename(filepath.Join(s.mail, from), filepath.Join(s.mail, to)); err != nil && from != to {
		b.Fatal(err)
	}
	index, _ := filepath.Glob(filepath.Join(s.mail, to, "Maildir", "dovecot*"))
	for _, file := range index {
		os.Remove(file)
	}
}

// benchWarm opens a Maildir again and again.
func (p *pair) benchWarm(b *testing.B, user string, sessions int) {
	for _, s := range p.sides {
		s.check(b, user)
		s.check(b, user)
	}
	p.turns(b, func(s *side) cost {
		return s.measure(sessions, func() {
			for range sessions {
				s.check(b, user)
			}
		})
	})
}

// benchRetr retrieves all messages of a session.
func (p *pair) benchRetr(b *testing.B, user string, secure bool) {
	p.sides[0].check(b, user)
	p.sides[1].check(b, user)
	p.turns(b, func(s *side) cost {
		entries, err := os.ReadDir(filepath.Join(s.mail, user, "Maildir", "cur"))
		if err != nil {
			b.Fatal(err)
		}
		c := s.login(b, user, secure)
		defer c.quit()
		return s.measure(len(entries), func() {
			for i := range entries {
				c.many(fmt.Sprintf("RETR %d", i+1))
			}
		})
	})
}

// benchDrain retrieves and deletes everything, from login to QUIT.
func (p *pair) benchDrain(b *testing.B, n, size int) {
	var names []string
	for range benchTurns {
		names = append(names, p.spare(b))
		p.fill(b, names[len(names)-1], n, size, true)
	}
	next := map[*side]int{}
	p.turns(b, func(s *side) cost {
		name := names[next[s]]
		next[s]++
		return s.measure(1, func() {
			c := s.login(b, name, false)
			c.one("STAT")
			c.many("UIDL")
			for i := range n {
				c.many(fmt.Sprintf("RETR %d", i+1))
				c.one(fmt.Sprintf("DELE %d", i+1))
			}
			c.quit()
			left, err := os.ReadDir(filepath.Join(s.mail, name, "Maildir", "cur"))
			if err != nil || len(left) > 0 {
				b.Fatalf("%d messages are left, %v", len(left), err)
			}
		})
	})
}

// benchMemory is the peak of memory of a server in its first session, of a
// Maildir without an index: kpopd's process, and Dovecot's largest. Before that
// it had what is reported as idle.
func (p *pair) benchMemory(b *testing.B, user string) {
	for k, s := range p.start(b) {
		s.rename(b, user, user) // without the index
		idle := s.peak(b)
		c := s.login(b, user, false)
		c.one("STAT")
		c.many("LIST")
		c.many("UIDL")
		c.many("RETR 1")
		name := []string{"kpopd", "dovecot"}[k]
		b.ReportMetric(idle, name+"-idle-MiB")
		b.ReportMetric(s.peak(b), name+"-peak-MiB")
		c.quit()
	}
	b.ReportMetric(0, "ns/op")
}

// peak returns the peak of the largest process.
func (s *side) peak(b *testing.B) (most float64) {
	for _, pid := range s.pids() {
		most = max(most, peakOf(b, pid))
	}
	return most
}

// peakOf returns VmHWM of a process in MiB.
func peakOf(b *testing.B, pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, has := strings.Cut(string(text), "VmHWM:")
	if err != nil || !has {
		return 0 // it has ended
	}
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
