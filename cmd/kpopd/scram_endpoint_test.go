package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

// TestSCRAMEndPoint binds to the certificate that the server showed, which it
// had chosen of two by the name that the client asked for. No client of
// Debian's does that for POP3.
func TestSCRAMEndPoint(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write(t, "users", secretLine(t, "alice", "SCRAM-SHA-256", "sesame"))
	other, err := s.world.CA.Server("other.test")
	if err != nil {
		t.Fatal(err)
	}
	cert, key := other.Files(t)
	d := s.startEdited(t, `"GSSAPI", "PLAIN", "APOP"`, scramMechanisms,
		"tls {", fmt.Sprintf("tls {\n  certificate {\n    cert_file = %q\n    key_file = %q\n  }", cert, key))
	ends := map[string][]byte{}
	dialEnd := func(name string) *client {
		c := dial(t, d.addrs["pop3s"])
		conn := tls.Client(c.Conn, &tls.Config{RootCAs: s.world.CA.Pool(), ServerName: name})
		c.Conn, c.r = conn, bufio.NewReader(conn)
		c.line()
		end := sha256.Sum256(conn.ConnectionState().PeerCertificates[0].Raw)
		ends[name] = end[:]
		return c
	}
	for _, name := range []string{"localhost", "other.test"} {
		c := dialEnd(name)
		if r := c.prove("alice", "sesame", ends[name]); !strings.HasPrefix(r, "+OK") {
			t.Errorf("%s: %s", name, r)
		}
		c.ok("QUIT")
	}
	if string(ends["localhost"]) == string(ends["other.test"]) {
		t.Fatal("both names have the same certificate")
	}
	mark := d.log.mark()
	if r := dialEnd("localhost").prove("alice", "sesame", ends["other.test"]); !strings.HasPrefix(r, "-ERR [AUTH] ") {
		t.Errorf("bound to the other certificate: %s", r)
	}
	d.refused(t, mark, "channel-binding-mismatch")
}

// prove logs in by SCRAM-SHA-256-PLUS, bound to a certificate, and returns the
// last reply.
func (c *client) prove(user, password string, end []byte) string {
	c.t.Helper()
	b64 := base64.StdEncoding.EncodeToString
	bare := "n=" + user + ",r=nonce"
	answer := c.say("AUTH SCRAM-SHA-256-PLUS %s", b64([]byte("p=tls-server-end-point,,"+bare)))
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(answer, "+ "))
	if err != nil {
		c.t.Fatalf("%s: %v", answer, err)
	}
	var iterations int
	fields := strings.Split(string(challenge), ",")
	salt, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(fields[1], "s="))
	if _, err2 := fmt.Sscanf(fields[2], "i=%d", &iterations); err != nil || err2 != nil {
		c.t.Fatalf("%s: %v, %v", challenge, err, err2)
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		c.t.Fatal(err)
	}
	sign := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	final := "c=" + b64(append([]byte("p=tls-server-end-point,,"), end...)) + "," + fields[0]
	message := bare + "," + string(challenge) + "," + final
	key := sign(salted, "Client Key")
	stored := sha256.Sum256(key)
	proof := sign(stored[:], message)
	subtle.XORBytes(proof, proof, key)
	answer = c.say("%s", b64([]byte(final+",p="+b64(proof))))
	if answer != "+ "+b64([]byte("v="+b64(sign(sign(salted, "Server Key"), message)))) {
		return answer
	}
	return c.say("")
}
