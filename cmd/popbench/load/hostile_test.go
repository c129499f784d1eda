package load

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// hostile is a server that says what it is to say to each command, and to another
// one what is endless: what is behind the bar, for good.
func hostile(t *testing.T, said map[string]string, endless string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go converse(conn, said, endless)
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func converse(conn net.Conn, said map[string]string, endless string) {
	defer conn.Close()
	io.WriteString(conn, "+OK\r\n")
	for in := bufio.NewScanner(conn); in.Scan(); {
		word, _, _ := strings.Cut(in.Text(), " ")
		if reply, ok := said[word]; ok {
			io.WriteString(conn, reply)
			continue
		}
		status, more, _ := strings.Cut(endless, "|")
		io.WriteString(conn, status)
		for more != "" {
			if _, err := io.WriteString(conn, more); err != nil {
				return
			}
		}
	}
}

// A hostile server ends each client with an error that says what it did.
func TestHostile(t *testing.T) {
	const ok = "+OK\r\n"
	greeted := map[string]string{"QUIT": ok}
	loggedIn := map[string]string{"QUIT": ok, "USER": ok, "PASS": ok, "STAT": "+OK 2 20\r\n"}
	listed := map[string]string{"QUIT": ok, "USER": ok, "PASS": ok, "STAT": "+OK 2 20\r\n", "LIST": "+OK\r\n1 10\r\n2 10\r\n.\r\n"}
	many := map[string]string{"QUIT": ok, "USER": ok, "PASS": ok, "STAT": "+OK 2 20\r\n", "LIST": "+OK\r\n1 10\r\n2 10\r\n3 10\r\n"}
	for _, c := range []struct {
		name, workload string
		said           map[string]string
		endless        string
		want           error
		text           string
	}{
		{"silence", "login", greeted, "", os.ErrDeadlineExceeded, ""},
		{"a line without an end", "login", greeted, "|" + strings.Repeat("x", 1000), errLong, ""},
		{"UIDL without an end", "check", loggedIn, "+OK\r\n|1 a\r\n", os.ErrDeadlineExceeded, ""},
		{"LIST with more than STAT", "retr", many, "", errContent, "shows more"},
		{"a message without an end", "retr", listed, "+OK\r\n|text\r\n", os.ErrDeadlineExceeded, ""},
		{"no challenge", "idle", map[string]string{"QUIT": ok, "USER": ok, "PASS": "* hm\r\n"}, "", errForm, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := Options{Workload: c.workload, Target: hostile(t, c.said, c.endless), Users: Users{Pattern: "user"}, Count: 100, Timeout: 300 * time.Millisecond}
			res, err := Run(context.Background(), o)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

// Sessions that do not answer NOOP are errors, and cost one timeout together.
func TestMute(t *testing.T) {
	const ok = "+OK\r\n"
	target := hostile(t, map[string]string{"QUIT": ok, "USER": ok, "PASS": ok}, "")
	res, err := Run(context.Background(), Options{Workload: "idle", Target: target, Users: Users{Pattern: "user%d", N: 50}, Clients: 4, Timeout: 300 * time.Millisecond})
	if err != nil || res.Operations != 50 || res.Verified != 0 || res.Errors != 1 || !strings.Contains(res.Error, "idle session") {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestImpossible(t *testing.T) {
	for _, o := range []Options{
		{Workload: "abuse", Slow: -1}, {Workload: "idle", Sessions: -1}, {Workload: "login", Count: -1}, {Workload: "login", Warmup: -1},
		{Workload: "login", Users: Users{Pattern: "user%s"}}, {Workload: "login", Users: Users{Pattern: "user%d%d"}}, {Workload: "nothing"},
		{Workload: "login", Password: "a\nb"}, {Workload: "gssapi"}, {Workload: "login", Pipeline: maxPipeline + 1},
	} {
		if _, err := Run(context.Background(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
