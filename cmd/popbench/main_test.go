package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kpopd/cmd/popbench/load"
)

// kpopd returns the program, which is removed at the end of the tests.
func kpopd(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// bench runs popbench and returns the result that it wrote, if it wrote one.
func bench(args ...string) (status int, res load.Result, stderr string) {
	var out, errs bytes.Buffer
	status = run(append([]string{"popbench"}, args...), &out, &errs)
	_ = json.Unmarshal(out.Bytes(), &res) // empty if it is none
	return status, res, errs.String()
}

// args are those of a run on a server, with all users of the site.
func (s *site) args(srv *server, workload, way string, more ...string) []string {
	a := []string{workload, "-json", "-tls", way, "-ca", s.ca, "-server-name", "localhost", "-clients", "3", "-warmup", "0s", "-timeout", "20s",
		"-user", "user%02d", "-users", fmt.Sprint(users), "-password", sesame, "-pid", fmt.Sprint(srv.pid)}
	return append(a, more...)
}

// good runs popbench where nothing should go wrong.
func good(t *testing.T, args ...string) load.Result {
	t.Helper()
	status, res, stderr := bench(args...)
	if status != exitOK || stderr != "" {
		t.Fatalf("%s: status %d: %s", args, status, stderr)
	}
	if res.Errors != 0 || res.Operations == 0 || res.Rate <= 0 || res.Latency == nil || res.Latency.P50 > res.Latency.Max {
		t.Errorf("%s: %+v", args, res)
	}
	if res.Server == nil || res.Server.CPU <= 0 || res.Server.PSS <= 0 || res.Server.Switches <= 0 || res.Client.CPU <= 0 {
		t.Errorf("%s: the server %+v, the client %+v", args, res.Server, res.Client)
	}
	return res
}

// both runs a test with kpopd and with Debian's Dovecot.
func both(t *testing.T, test func(t *testing.T, s *site, srv *server)) {
	for name, start := range map[string]func(*site, testing.TB) *server{"kpopd": (*site).startKpopd, "dovecot": (*site).startDovecot} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			test(t, s, start(s, t))
		})
	}
}

func TestSessions(t *testing.T) {
	both(t, func(t *testing.T, s *site, srv *server) {
		for _, way := range []string{load.None, load.STLS, load.Implicit, load.Resumed} {
			for _, workload := range []string{"login", "check", "list"} {
				res := good(t, s.args(srv, workload, way, "-count", "30", srv.addr(way))...)
				if res.Operations != 30 || res.Workload != workload || res.TLS != way {
					t.Errorf("%s %s: %+v", workload, way, res)
				}
				if workload == "check" && res.Verified != 30 {
					t.Errorf("%d verified", res.Verified)
				}
				// Each process of Dovecot's has tickets of its own.
				if (res.Handshakes == 30) != (way != load.None) || (res.Resumed > 5) != (way == load.Resumed) {
					t.Errorf("%s: %d handshakes, %d resumed", way, res.Handshakes, res.Resumed)
				}
			}
		}
		good(t, s.args(srv, "login", load.None, "-count", "9", "-mechanism", "plain", srv.clear)...)
		good(t, s.args(srv, "login", load.None, "-count", "9", "-pipeline", "4", srv.clear)...)
	})
}

func TestMessages(t *testing.T) {
	both(t, func(t *testing.T, s *site, srv *server) {
		var total int64
		for i := range letters {
			text := letter(name(0), i)
			total += int64(len(text) + strings.Count(text, "\n"))
		}
		for _, way := range []string{load.None, load.Implicit} {
			for _, pipeline := range []string{"1", "7"} {
				res := good(t, s.args(srv, "retr", way, "-clients", "1", "-pipeline", pipeline, "-count", fmt.Sprint(20*letters), srv.addr(way))...)
				if res.Operations != 20*letters || res.Verified != res.Operations || res.Octets != 20*total {
					t.Errorf("%s, %s: %+v, want %d octets", way, pipeline, res, 20*total)
				}
			}
		}
		only := append(s.args(srv, "retr", load.None, "-manifest", s.manifest(t, name(2)), "-users", "1", "-first-user", "2", "-clients", "1", "-count", "10"), srv.clear)
		if res := good(t, only...); res.Verified != 10 {
			t.Errorf("%+v", res)
		}
		s.wrong(t, only)
		first := good(t, s.args(srv, "first", load.None, srv.clear)...)
		drain := good(t, s.args(srv, "drain", load.None, "-pipeline", "4", srv.clear)...)
		if first.Operations != users || drain.Operations != users*letters || drain.Verified != drain.Operations {
			t.Errorf("%+v\n%+v", first, drain)
		}
		for i := range users {
			if n := s.left(t, name(i)); n > 0 {
				t.Errorf("%d messages of %s are left", n, name(i))
			}
		}
	})
}

// wrong changes an octet of a message: its size stays, and its digest does not.
func (s *site) wrong(t *testing.T, args []string) {
	t.Helper()
	found, err := filepath.Glob(s.file(name(2), 1) + "*") // Dovecot adds a flag
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	path := found[0]
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.write(t, path, string(text))
	s.write(t, path, strings.Replace(string(text), "text of", "text if", 1))
	status, _, stderr := bench(args...)
	if status != exitFailed || !strings.Contains(stderr, "message 2: wrong content: it is not the message of the manifest") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

func TestTickets(t *testing.T) {
	s := newSite(t)
	srv := s.startKpopd(t)
	cc := filepath.Join(s.dir, "cc%02d")
	for _, way := range []string{load.None, load.STLS, load.Implicit} {
		if res := good(t, s.args(srv, "gssapi", way, "-ccache", cc, "-count", "30", srv.addr(way))...); res.Operations != 30 || res.Mechanism != "gssapi" {
			t.Errorf("%+v", res)
		}
	}
	if res := good(t, s.args(srv, "kpop", load.None, "-ccache", cc, "-count", "30", srv.kpop)...); res.Operations != 30 {
		t.Errorf("%+v", res)
	}
	status, _, stderr := bench(s.args(srv, "kpop", load.None, "-ccache", cc, "-service", "imap@localhost", srv.kpop)...)
	if status != exitFailed || !strings.Contains(stderr, "it has no ticket for imap/localhost") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

func TestIdle(t *testing.T) {
	s := newSite(t)
	srv := s.startKpopd(t)
	for _, way := range []string{load.None, load.Implicit} {
		res := good(t, s.args(srv, "idle", way, srv.addr(way))...)
		if res.Operations != users || res.Verified != users {
			t.Errorf("%+v", res)
		}
	}
}

func TestAbuse(t *testing.T) {
	s := newSite(t)
	srv := s.startKpopd(t)
	res := good(t, s.args(srv, "abuse", load.None, "-count", "100", "-slow", "3", "-silent", "4", "-churn", "5", "-pace", "1ms", srv.clear)...)
	if a := res.Abuse; a == nil || a.Slow != 3 || a.Silent != 4 || a.Churn != 5 || a.Connections < 12 || a.Refused != 0 || a.Ended != 0 {
		t.Errorf("%+v", res.Abuse)
	}
	if res.RateAlone <= 0 || res.Kept <= 0 || res.Operations != 100 {
		t.Errorf("%+v", res)
	}
}

// APOP is the site's other mechanism, and time is what bounds a run by default.
func TestDuration(t *testing.T) {
	s := newSite(t)
	srv := s.startKpopd(t)
	res := good(t, s.args(srv, "login", load.None, "-mechanism", "apop", "-warmup", "50ms", "-duration", "200ms", srv.clear)...)
	if res.Seconds < 0.2 {
		t.Errorf("%+v", res)
	}
}

func TestRefused(t *testing.T) {
	s := newSite(t)
	srv := s.startKpopd(t)
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"-password", "wrong", srv.clear}, exitFailed, "[AUTH]"},
		{[]string{"-tls", "implicit", "-server-name", "elsewhere", srv.implicit}, exitFailed, "certificate is valid for"},
		{[]string{"-tls", "implicit", srv.clear}, exitFailed, "TLS"},
		{[]string{"-pid", "999999999", srv.clear}, exitFailed, "there is no process 999999999"},
		{[]string{"-pid", "x", srv.clear}, exitUsage, "-pid"},
		{[]string{"-tls", "some", srv.clear}, exitUsage, "some"},
		{[]string{"-mechanism", "some", srv.clear}, exitUsage, "some"},
		{[]string{"-pipeline", "100000", srv.clear}, exitUsage, "in flight"},
		{[]string{"-user", "", srv.clear}, exitUsage, "-user"},
		{[]string{"-nothing", srv.clear}, exitUsage, "nothing"},
		{[]string{"localhost"}, exitUsage, "HOST:PORT"},
		{nil, exitUsage, "HOST:PORT"},
	} {
		status, _, stderr := bench(s.args(srv, "login", load.None, append([]string{"-count", "3"}, c.args...)...)...)
		if status != c.status || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: status %d: %s", c.args, status, stderr)
		}
	}
	if status, _, stderr := bench("nothing"); status != exitUsage || !strings.Contains(stderr, "there is no workload") {
		t.Errorf("status %d: %s", status, stderr)
	}
}

// A person sees a table.
func TestTable(t *testing.T) {
	s := newSite(t)
	srv := s.startKpopd(t)
	var out, errs bytes.Buffer
	args := s.args(srv, "check", load.None, "-json=false", "-count", "12", srv.clear)
	if status := run(append([]string{"popbench"}, args...), &out, &errs); status != exitOK || errs.Len() > 0 {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	for _, want := range []string{"12 in ", "12 verified", "ms CPU an operation", "PSS", "99%"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
