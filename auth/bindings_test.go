package auth_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/testenv"
)

// resumeScript connects twice by TLS 1.2, the second time with the session of the
// first, and prints whether it was resumed and what tls-unique is. Go's client
// cannot do without an extended master secret.
const resumeScript = `
import socket, ssl, sys
port, ca, extended = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.maximum_version = ssl.TLSVersion.TLSv1_2
if extended == 'no':
    context.options |= 1 # SSL_OP_NO_EXTENDED_MASTER_SECRET
session = None
for _ in range(2):
    s = context.wrap_socket(socket.create_connection(('localhost', int(port)), 50), server_hostname='localhost', session=session)
    s.sendall(b'x')
    s.recv(1)
    session = s.session
    print(s.session_reused, s.get_channel_binding('tls-unique').hex())
    s.close()
`

// TestUniqueResumed: a session that is resumed without an extended master secret
// has no tls-unique, for a man in the middle of two connections can make theirs
// the same (RFC 7627 §1); any other has the client's.
func TestUniqueResumed(t *testing.T) {
	ca, err := testenv.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	for _, extended := range []string{"yes", "no"} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", ca.ServerConfig(t))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		served := make(chan []string, 1)
		go func() { served <- serveTwice(l) }()
		out := python(t, resumeScript, fmt.Sprint(l.Addr().(*net.TCPAddr).Port), ca.File(t), extended)
		l.Close()
		client, server := strings.Fields(out), <-served
		if len(client) != 4 || client[0] != "False" || client[2] != "True" || len(server) != 2 {
			t.Fatalf("the client says %q, the server %q", out, server)
		}
		want := []string{client[1], client[3]}
		if extended == "no" {
			want[1] = ""
		}
		if server[0] != want[0] || server[1] != want[1] || client[1] == "" {
			t.Errorf("extended master secret %s: tls-unique is %q, want %q", extended, server, want)
		}
	}
}

// serveTwice answers one octet on each of two connections and returns what
// tls-unique is there, in hexadecimal.
func serveTwice(l net.Listener) (unique []string) {
	for range 2 {
		c, err := l.Accept()
		if err != nil {
			return unique
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		if b, err := bufio.NewReader(c).ReadByte(); err == nil {
			state := c.(*tls.Conn).ConnectionState()
			p := auth.Peer{TLS: &state, Protected: true}
			unique = append(unique, hex.EncodeToString(bytes.Join(p.Bindings(auth.BindingUnique), nil)))
			c.Write([]byte{b})
		}
		c.Close()
	}
	return unique
}

// python runs a script and returns what it prints.
func python(t testing.TB, script string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, testenv.Need(t, "python3"), append([]string{"-c", script}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
