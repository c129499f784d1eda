package server_test

import (
	"bufio"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/server"
)

// A client that asks for new keys (RFC 8446 §4.6.3) when the time for the output
// before is long over gets them, and what is said later.
func TestKeyUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(func(_ context.Context, c *server.Conn) error {
			c.LoggedIn()
			c.Printf("hello\r\n")
			if _, err := c.ReadLine(100); err != server.ErrIdleTimeout {
				t.Errorf("reading ended with %v", err)
			}
			c.Printf("bye\r\n")
			return c.Flush()
		})
		f.endpoint.TLS, f.endpoint.Implicit = server.TLSConfig(pairs, tls.VersionTLS13), true
		c, ended := f.connect("192.0.2.1")
		var keys strings.Builder
		config := clientConfig("one.example")
		config.KeyLogWriter = &keys
		conn := tls.Client(c, config)
		r := bufio.NewReader(conn)
		expect(t, r, "hello")
		time.Sleep(5 * time.Minute) // WriteTimeout is two
		if suite := conn.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
			t.Skip("the record is not made for", tls.CipherSuiteName(suite))
		}
		c.Write(keyUpdate(t, keys.String()))
		expect(t, r, "bye")
		expectEnd(t, r)
		if err := <-ended; err != nil {
			t.Errorf("ended with %v", err)
		}
		f.sessions.Wait()
	})
}

// keyUpdate is the first record of a client's data, in TLS_AES_128_GCM_SHA256: it
// has new keys, and asks for new ones of the server.
func keyUpdate(t *testing.T, keys string) []byte {
	_, line, _ := strings.Cut(keys, "CLIENT_TRAFFIC_SECRET_0 ")
	secret, err := hex.DecodeString(strings.Fields(line)[1])
	if err != nil {
		t.Fatal(err)
	}
	derive := func(label string, n int) []byte { // RFC 8446 §7.1
		label = "tls13 " + label
		out, err := hkdf.Expand(sha256.New, secret, "\x00"+string(rune(n))+string(rune(len(label)))+label+"\x00", n)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	block, err := aes.NewCipher(derive("key", 16))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	message := "\x18\x00\x00\x01\x01" + "\x16" // a handshake record's
	head := []byte{23, 3, 3, 0, byte(len(message) + gcm.Overhead())}
	return gcm.Seal(head, derive("iv", 12), []byte(message), head)
}
