package testenv

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// unpacked is where testenv/test.sh unpacks the packages of POP3 servers that
// Debian does not install beside others.
const unpacked = "/usr/local/lib/kpopd-testenv"

// needUnpacked returns the path of a program of theirs.
func needUnpacked(path string) (string, error) {
	path = unpacked + path
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w; run testenv/test.sh as root once, which unpacks it", err)
	}
	return path, nil
}

// A Courier is a POP3 listener that hands each session to Debian's
// courierpop3d once the password was right: all that Courier does but the
// login, which is its authdaemon's.
type Courier struct {
	// POP3 is its loopback address. There is no TLS.
	POP3 string

	program string
	mail    string
	users   map[string]string
	l       net.Listener
	done    sync.WaitGroup
	mu      sync.Mutex
	conns   map[net.Conn]bool // nil: stopped
}

// StartCourier starts a Courier that ends with the test, on the Maildirs
// USER/Maildir of a directory.
func StartCourier(t TB, mail string, users map[string]string) *Courier {
	t.Helper()
	program, err := needUnpacked("/usr/lib/courier/courier/courierpop3d")
	if err != nil {
		t.Fatalf("testenv: Courier: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testenv: Courier: %v", err)
	}
	c := &Courier{POP3: l.Addr().String(), program: program, mail: mail, users: users, l: l, conns: map[net.Conn]bool{}}
	c.done.Go(c.accept)
	t.Cleanup(c.Stop)
	return c
}

// Stop ends the listener and all sessions. It is idempotent.
func (c *Courier) Stop() {
	c.l.Close()
	c.mu.Lock()
	for conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
	c.mu.Unlock()
	c.done.Wait()
}

func (c *Courier) accept() {
	for {
		conn, err := c.l.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		if c.conns == nil {
			conn.Close()
		} else {
			c.conns[conn] = true
			c.done.Go(func() { c.serve(conn.(*net.TCPConn)) })
		}
		c.mu.Unlock()
	}
}

// serve asks for the login and becomes courierpop3d.
func (c *Courier) serve(conn *net.TCPConn) {
	defer conn.Close()
	user := c.login(conn)
	if user == "" {
		return
	}
	cmd := exec.Command(c.program, filepath.Join(c.mail, user, "Maildir"))
	cmd.Env = []string{"AUTHENTICATED=" + user, "TCPREMOTEIP=127.0.0.1", "LD_LIBRARY_PATH=" + unpacked + "/usr/lib"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// Through pipes, so that closing the connection ends the session.
	cmd.Stdout = conn
	in, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return
	}
	copied := make(chan struct{})
	go func() {
		_, _ = io.Copy(in, conn)
		in.Close()
		close(copied)
	}()
	_ = cmd.Wait()
	conn.Close()
	<-copied
}

// login returns whose password was right. "": nobody's.
func (c *Courier) login(conn net.Conn) (user string) {
	_ = conn.SetDeadline(time.Now().Add(patience))
	defer conn.SetDeadline(time.Time{})
	fmt.Fprint(conn, "+OK Hello there.\r\n")
	for {
		line, err := lineOf(conn)
		if err != nil {
			return ""
		}
		word, arg, _ := strings.Cut(line, " ")
		password, known := c.users[user]
		switch strings.ToUpper(word) {
		case "USER":
			user = arg
			fmt.Fprint(conn, "+OK Password required.\r\n")
		case "PASS":
			if known && arg == password {
				return user // courierpop3d says +OK
			}
			fmt.Fprint(conn, "-ERR Login failed.\r\n")
		case "QUIT":
			return ""
		default:
			fmt.Fprint(conn, "-ERR Invalid command.\r\n")
		}
	}
}

// lineOf reads a line and nothing behind it.
func lineOf(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < 1000; {
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			break
		}
		line = append(line, b[0])
	}
	return strings.TrimSuffix(string(line), "\r"), nil
}
