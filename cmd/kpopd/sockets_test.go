package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kpopd/server"
)

// A Unix socket of a server that was killed makes way for the next one; that
// of a living server does not, nor anything else of that name.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := listener{network: "unix", address: path, endpoint: &server.Endpoint{}, group: -1}
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	killed.Close()
	living, err := l.listen(t.Context())
	if err != nil {
		t.Fatalf("where a server was killed: %v", err)
	}
	if _, err := l.listen(t.Context()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("where a server lives: %v", err)
	}
	living.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.listen(t.Context()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("where a file is: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

// A plugin whose client hangs up has done its work.
func TestRelayBrokenPipe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			c.Write([]byte("+OK Bye\r\n"))
			c.Close()
		}
	}()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	if err := relay(t.Context(), l.Addr().String(), strings.NewReader(""), w); err != nil {
		t.Errorf("relay: %v", err)
	}
}

// A reload cannot widen the address of a port that is open, and says so.
func TestListenHint(t *testing.T) {
	if got := listenHint(syscall.EADDRINUSE, true); !strings.Contains(got, "restart") {
		t.Errorf("at a reload: %s", got)
	}
	if got := listenHint(syscall.EADDRINUSE, false); strings.Contains(got, "restart") {
		t.Errorf("at the start: %s", got)
	}
	if got := listenHint(syscall.EACCES, false); !strings.Contains(got, "CAP_NET_BIND_SERVICE") {
		t.Errorf("of a privileged port: %s", got)
	}
	if got := listenHint(&net.OpError{Net: "unix", Err: syscall.EACCES}, false); strings.Contains(got, "CAP_NET_BIND_SERVICE") {
		t.Errorf("of a Unix socket: %s", got)
	}
}

// A connection has the keep-alives of its listener.
func TestKeepAlive(t *testing.T) {
	l, err := listener{network: "tcp", address: "127.0.0.1:0"}.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	socket, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	socket.Control(func(fd uintptr) {
		for _, o := range []struct{ level, option, want int }{
			{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
			{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15}, {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 9},
			{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		} {
			if got, err := syscall.GetsockoptInt(int(fd), o.level, o.option); got != o.want || err != nil {
				t.Errorf("option %d is %d, %v, want %d", o.option, got, err, o.want)
			}
		}
	})
}
