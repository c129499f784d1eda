package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kpopd/testenv"
)

// keep puts a file into bob's Maildir, and makes it so large, with NULs where
// nothing is written: at its beginning and at its end.
func (s *site) keep(t testing.TB, name, head, tail string, size int64) {
	t.Helper()
	dir := filepath.Join(s.Dir, "mail", "bob", "Maildir")
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(filepath.Join(dir, "new", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at, text := range map[int64]string{0: head, size - int64(len(tail)): tail} {
		if _, err := f.WriteAt([]byte(text), at); err != nil {
			t.Fatal(err)
		}
	}
}

// multiline sends a command that has a reply of several lines, and returns the
// octets behind its first line up to the final dot's line, not looking at them
// but for where they end, and how many of the first lines there were.
func (c *client) multiline(command string) (octets int64) {
	c.t.Helper()
	c.ok("%s", command)
	last := []byte("\r\n")
	buf := make([]byte, 512<<10)
	for {
		n, err := c.r.Read(buf)
		octets += int64(n)
		last = append(last, buf[max(0, n-5):n]...)
		last = last[max(0, len(last)-5):]
		if bytes.Equal(last, []byte("\r\n.\r\n")) && c.r.Buffered() == 0 {
			return octets - 3
		}
		if err != nil {
			c.t.Fatalf("%s: %v after %d octets", command, err, octets)
		}
	}
}

func (d *daemon) peak(t testing.TB) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmHWM in %s", status)
	}
	kb, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return kb << 10
}

// However large a message, a line or a header is, it takes no memory to send.
func TestLargeMessages(t *testing.T) {
	const gigabyte = 1 << 30
	testenv.Start(t)
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // holes in its files take no memory
	}
	s := newSite(t)
	ready := fmt.Sprintf("2.ready,S=%d,W=%d,D=0", gigabyte, gigabyte)
	s.keep(t, ready, "A: b\r\n\r\n", "\r\n", gigabyte)
	dir := filepath.Join(s.Dir, "mail", "bob", "Maildir", "new")
	// The same, but its name does not say that it need not be looked at.
	if err := os.Link(filepath.Join(dir, ready), filepath.Join(dir, "1."+strings.TrimSuffix(ready[2:], ",D=0"))); err != nil {
		t.Fatal(err)
	}
	line := "A: " + strings.Repeat("x", 10<<20) + "\n\nbody\nand more\n"
	s.keep(t, "3.line", line, "", int64(len(line)))
	header := strings.Repeat("Received: by a b\n", 1_000_000) + "\nbody\nand more\n"
	s.keep(t, "4.header", header, "", int64(len(header)))
	d := s.start(t)
	c := dial(t, d.addrs["clear"])
	c.login("bob", bobPassword)
	before := d.peak(t)
	for _, tt := range []struct {
		command string
		octets  int64
	}{
		{"TOP 1 0", 8}, {"TOP 2 0", 8}, {"TOP 3 0", 10<<20 + 7}, {"TOP 4 0", 18_000_002}, {"TOP 4 1", 18_000_008},
		{"TOP 3 99999999", int64(len(line)) + 4}, {"RETR 4", int64(len(header)) + 1_000_003}, {"RETR 3", int64(len(line)) + 4},
		{"RETR 1", gigabyte}, {"RETR 2", gigabyte},
	} {
		start := time.Now()
		if n := c.multiline(tt.command); n != tt.octets {
			t.Errorf("%s: %d octets, want %d", tt.command, n, tt.octets)
		}
		t.Logf("%s: %v", tt.command, time.Since(start))
	}
	c.ok("QUIT")
	most := int64(32 << 20)
	if raceDetector { // it remembers each octet of large buffers
		most *= 3
	}
	if more := d.peak(t) - before; more > most {
		t.Errorf("it took %d octets of memory", more)
	} else {
		t.Logf("it took %d KiB of memory", more>>10)
	}
	d.stop(t)
}

// A trace is what strace(1) saw of a daemon.
type trace struct {
	cmd  *exec.Cmd
	path string
}

// strace follows the daemon's calls on files and sockets.
func (d *daemon) strace(t testing.TB) *trace {
	t.Helper()
	tr := &trace{path: filepath.Join(t.TempDir(), "trace")}
	tr.cmd = exec.Command("strace", "-f", "-y", "-s", "16", "-o", tr.path, "-p", strconv.Itoa(d.cmd.Process.Pid),
		"-e", "trace=sendfile,read,pread64,write,pwrite64,writev,sendto,setsockopt,epoll_ctl,openat")
	stderr, err := tr.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	attached := make(chan error, 1)
	go func() {
		r := bufio.NewReader(stderr)
		for told := false; ; {
			line, err := r.ReadString('\n')
			if !told && (err != nil || strings.Contains(line, "attached")) {
				attached <- err
				told = true
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case err := <-attached:
		if err != nil {
			t.Fatalf("strace: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("strace does not attach")
	}
	t.Cleanup(func() { tr.cmd.Process.Kill(); tr.cmd.Wait() })
	return tr
}

// parts ends the trace and returns it, cut where the server says "Still here".
func (tr *trace) parts(t testing.TB) [][]string {
	t.Helper()
	tr.cmd.Process.Signal(syscall.SIGINT)
	tr.cmd.Wait()
	text, err := os.ReadFile(tr.path)
	if err != nil {
		t.Fatal(err)
	}
	parts, begun := [][]string{nil}, map[string]string{}
	for line := range strings.Lines(string(text)) {
		// A call of one thread may be told in two lines, with others between them.
		thread, _, _ := strings.Cut(line, " ")
		if start, ok := strings.CutSuffix(line, " <unfinished ...>\n"); ok {
			begun[thread] = start
			continue
		}
		if _, rest, ok := strings.Cut(line, " resumed>"); ok {
			line = begun[thread] + rest
		}
		if strings.Contains(line, `"+OK Still here`) {
			parts = append(parts, nil)
			continue
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], line)
	}
	return parts
}

// count returns how many of the calls match, and the sum of what they return.
func count(lines []string, pattern string) (calls int, sum int64) {
	re, result := regexp.MustCompile(pattern), regexp.MustCompile(`= (\d+)\s*$`)
	for _, line := range lines {
		if !re.MatchString(line) {
			continue
		}
		calls++
		if m := result.FindStringSubmatch(line); m != nil {
			n, _ := strconv.ParseInt(m[1], 10, 64)
			sum += n
		}
	}
	return calls, sum
}

// What each path costs is counted in system calls: a small message goes out in
// one write, and is read in one; a large one that is ready by sendfile(2), in the
// clear only; TOP reads little more than it sends.
func TestCallsOfRETR(t *testing.T) {
	s := newSite(t)
	small := "A: b\n\n" + strings.Repeat("0123456789\n", 400)
	s.keep(t, "1.small", small, "", int64(len(small)))
	large := "A: b\n\n" + strings.Repeat("0123456789\n", 100_000)
	s.keep(t, "2.large", large, "", int64(len(large)))
	ready := strings.ReplaceAll(large, "\n", "\r\n")
	size := int64(len(ready))
	s.keep(t, fmt.Sprintf("3.ready,S=%d,W=%d,D=0", size, size), ready, "", size)
	d := s.start(t)
	clear := dial(t, d.addrs["clear"])
	clear.login("bob", bobPassword)
	tr := d.strace(t)
	clear.ok("NOOP")
	commands := []string{"RETR 1", "RETR 2", "RETR 3", "TOP 3 0", "TOP 2 1"}
	octets := []int64{int64(len(small)) + 402, size, size, 8, 20}
	for i, command := range commands {
		if n := clear.multiline(command); n != octets[i] {
			t.Errorf("%s: %d octets, want %d", command, n, octets[i])
		}
		clear.ok("NOOP")
	}
	clear.ok("QUIT")
	secure := newClient(t, tls.Client(dial(t, d.addrs["pop3s"]).Conn, &tls.Config{ServerName: "localhost", RootCAs: s.world.CA.Pool()}))
	secure.login("bob", bobPassword)
	if n := secure.multiline("RETR 3"); n != size {
		t.Errorf("under TLS: %d octets", n)
	}
	secure.ok("QUIT")
	parts := tr.parts(t)
	if len(parts) != len(commands)+2 {
		t.Fatalf("%d parts", len(parts))
	}
	for i, want := range []struct {
		files, reads, writes, sends int
		read, sent                  int64
	}{
		{3, 1, 1, 0, int64(len(small)), 0}, // and both folders
		{1, 12, 6, 0, int64(len(large)), 0},
		{1, 1, 2, -1, 2, size - 2}, // how many sendfiles, the socket says
		{1, 1, 1, 0, 8 << 10, 0},
		{1, 1, 1, 0, 8 << 10, 0},
	} {
		part := parts[i+1]
		files, _ := count(part, `openat\(.*/Maildir/`)
		reads, read := count(part, `(read|pread64)\(\d+</.*/Maildir/`)
		writes, _ := count(part, `write\(\d+<(TCP|socket)`)
		sends, sent := count(part, `sendfile\(`)
		epolls, _ := count(part, `epoll_ctl\(.*/Maildir/`)
		if want.sends < 0 && sends > 0 {
			want.sends = sends
		}
		if files != want.files || reads != want.reads || read != want.read || sends != want.sends || sent != want.sent || epolls != 0 ||
			writes < 1 || writes > want.writes {
			t.Errorf("%s: %d files opened, %d registered; %d reads of %d octets, %d writes, %d sendfiles of %d octets; want %+v\n%s",
				commands[i], files, epolls, reads, read, writes, sends, sent, want, strings.Join(part, ""))
		}
	}
	if n, _ := count(parts[len(parts)-1], `sendfile\(`); n != 0 {
		t.Errorf("%d sendfiles under TLS", n)
	}
	d.stop(t)
}

// A message whose name tells a wrong size, or whose file changes under us, costs
// a session, of which nothing is deleted; the next one announces what is there.
func TestChangedMessage(t *testing.T) {
	s := newSite(t)
	text := "A: b\n\n" + strings.Repeat("0123456789\n", 1000) // 12,008 on the wire
	s.keep(t, "1.a,S=11006,W=12100", text, "", int64(len(text)))
	s.keep(t, "2.b", text, "", int64(len(text)))
	d := s.start(t)
	for _, tt := range []struct {
		first  string // of LIST
		n      int    // the message that costs the session
		change func()
	}{
		{"1 12100", 1, func() {}},
		{"1 12008", 2, func() { s.keep(t, "2.b", text, "more\n", int64(len(text))+5) }},
		{"1 12008", 2, func() { s.keep(t, "2.b", "A: b\n", "", 5) }},
	} {
		c := dial(t, d.addrs["clear"])
		c.login("bob", bobPassword)
		if got := c.ok("LIST 1"); got != "+OK "+tt.first {
			t.Errorf("LIST 1: %s, want %s", got, tt.first)
		}
		tt.change()
		mark := d.log.mark()
		fmt.Fprintf(c, "DELE %d\r\nRETR %d\r\nDELE %d\r\nQUIT\r\n", 3-tt.n, tt.n, tt.n)
		rest, _ := io.ReadAll(c.r)
		if bytes.Contains(rest, []byte("\r\n.\r\n")) || bytes.Contains(rest, []byte("Bye")) {
			t.Errorf("the session ended with %q", rest[max(0, len(rest)-50):])
		}
		d.log.awaitFrom(t, mark, "message could not be sent whole", func(r map[string]any) bool { return r["reason"] == "message-changed" })
		d.log.awaitFrom(t, mark, "end", func(r map[string]any) bool { return r["reason"] == "message-changed" })
		if n := len(s.messages(t, "bob")); n != 2 {
			t.Fatalf("%d messages are left", n)
		}
	}
	d.stop(t)
}
