package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/server"
	"kpopd/testenv"
)

// newTLSFixture has two certificates. Its sessions speak in the clear until
// "STLS", tell their certificate's name, and end at QUIT.
func newTLSFixture() *fixture {
	f := newFixture(func(ctx context.Context, c *server.Conn) error {
		for {
			line, err := c.ReadLine(100)
			if err != nil {
				return err
			}
			switch string(line) {
			case "STLS":
				if err := c.StartTLS(ctx, "+OK"); err != nil {
					return err
				}
			case "QUIT":
				return nil
			case "cert":
				c.Printf("%s\r\n", describe(c))
			default:
				c.Printf("%v %v\r\n", c.TLS() != nil, c.OffersTLS())
			}
		}
	})
	f.endpoint.TLS = server.TLSConfig(pairs, 0)
	return f
}

func describe(c *server.Conn) string {
	if c.Certificate() == nil {
		return "no certificate"
	}
	text := c.Certificate().Subject.CommonName + " " + tls.VersionName(c.TLS().Version)
	if c.TLS().DidResume {
		text += " resumed"
	}
	return text
}

func clientConfig(name string) *tls.Config {
	return &tls.Config{ServerName: name, RootCAs: authority.Pool(), Time: func() time.Time { return realTime }}
}

// stls begins TLS as STLS does.
func stls(t *testing.T, c net.Conn, config *tls.Config) (*tls.Conn, error) {
	t.Helper()
	io.WriteString(c, "STLS\r\n")
	expect(t, bufio.NewReader(io.LimitReader(c, 5)), "+OK")
	conn := tls.Client(c, config)
	return conn, conn.Handshake()
}

// The certificate is the one that the client asked for by name, and it is
// known for resumed sessions too, in both versions of TLS.
func TestCertificate(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, name := range []string{"one.example", "two.example"} {
			synctest.Test(t, func(t *testing.T) {
				f := newTLSFixture()
				config := clientConfig(name)
				config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
				config.MaxVersion = version
				showCertificate(t, f, config, name+" "+tls.VersionName(version))
				showCertificate(t, f, config, name+" "+tls.VersionName(version)+" resumed")
			})
		}
	}
}

func showCertificate(t *testing.T, f *fixture, config *tls.Config, want string) {
	t.Helper()
	c, ended := f.connect("192.0.2.1")
	io.WriteString(c, "cert\r\n")
	expect(t, bufio.NewReader(c), "no certificate")
	conn, err := stls(t, c, config)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "cert\r\n")
	expect(t, bufio.NewReader(conn), want)
	io.WriteString(conn, "QUIT\r\n")
	expectEnd(t, conn)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	c.Close()
	f.sessions.Wait()
}

// A client that names nobody known gets the first certificate, and judges it.
func TestOtherName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTLSFixture()
		config := clientConfig("three.example")
		config.VerifyConnection = func(state tls.ConnectionState) error {
			if err := state.PeerCertificates[0].VerifyHostname("one.example"); err != nil {
				t.Error(err)
			}
			return nil
		}
		config.InsecureSkipVerify = true
		c, _ := f.connect("192.0.2.1")
		conn, err := stls(t, c, config)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		c.Close()
		f.sessions.Wait()
	})
}

func TestHandshakesRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*tls.Config)
		want   string
	}{
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "unsupported versions"},
		{"a foreign ALPN", func(c *tls.Config) { c.NextProtos = []string{"imap", "h2"} }, "unsupported application protocols"},
		{"a long ALPN", func(c *tls.Config) { c.NextProtos = slices.Repeat([]string{strings.Repeat("x", 255)}, 200) }, "unsupported application protocols"},
	}
	for _, tt := range tests {
		for _, implicit := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newTLSFixture()
					f.endpoint.Implicit = implicit
					config := clientConfig("one.example")
					tt.change(config)
					c, _ := f.connect("192.0.2.1")
					conn := tls.Client(c, config)
					var err error
					if implicit {
						err = conn.Handshake()
					} else {
						_, err = stls(t, c, config)
					}
					if err == nil {
						t.Error("the handshake succeeded")
					}
					c.Close()
					f.sessions.Wait()
					if log := f.log.String(); !strings.Contains(log, tt.want) {
						t.Errorf("want %q in the log\n%s", tt.want, log)
					} else if len(log) > 2000 {
						t.Errorf("%d octets of log for one handshake", len(log))
					}
				})
			})
		}
	}
}

// No configuration goes below TLS 1.2.
func TestMinVersion(t *testing.T) {
	for min, want := range map[uint16]uint16{
		0: tls.VersionTLS12, tls.VersionTLS10: tls.VersionTLS12, tls.VersionTLS12: tls.VersionTLS12, tls.VersionTLS13: tls.VersionTLS13,
	} {
		if got := server.TLSConfig(nil, min).MinVersion; got != want {
			t.Errorf("%s asked for, %s set", tls.VersionName(min), tls.VersionName(got))
		}
	}
}

func TestALPN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTLSFixture()
		config := clientConfig("one.example")
		config.NextProtos = []string{"pop3", "imap"}
		c, _ := f.connect("192.0.2.1")
		conn, err := stls(t, c, config)
		if err != nil || conn.ConnectionState().NegotiatedProtocol != "pop3" {
			t.Errorf("%v, %q", err, conn.ConnectionState().NegotiatedProtocol)
		}
		c.Close()
		f.sessions.Wait()
	})
}

// Whatever stands behind the command that starts TLS belongs to nobody, and
// the connection ends, without the reply too.
func TestPipelinedTLS(t *testing.T) {
	for _, behind := range []string{"x", "\r", "x\r\n", "\x16\x03\x01\x00\x05"} {
		synctest.Test(t, func(t *testing.T) {
			f := newTLSFixture()
			c, ended := f.connect("192.0.2.1")
			go io.WriteString(c, "STLS\r\n"+behind)
			if err := <-ended; err != server.ErrPipelined {
				t.Errorf("%q behind: %v", behind, err)
			}
			expectEnd(t, c)
			f.sessions.Wait()
		})
	}
}

func TestOffersTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTLSFixture()
		c, _ := f.connect("192.0.2.1")
		io.WriteString(c, "?\r\n")
		expect(t, bufio.NewReader(c), "false true")
		conn, err := stls(t, c, clientConfig("one.example"))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "?\r\n")
		expect(t, bufio.NewReader(conn), "true false")
		c.Close()

		f.endpoint.TLS = nil
		c, ended := f.connect("192.0.2.1")
		io.WriteString(c, "?\r\n")
		expect(t, bufio.NewReader(c), "false false")
		io.WriteString(c, "STLS\r\n")
		go io.Copy(io.Discard, c)
		if err := <-ended; err == nil {
			t.Error("TLS began without a configuration")
		}
		c.Close()
		f.sessions.Wait()
	})
}

// A handshake that stalls has no time of its own.
func TestStalledHandshake(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newTLSFixture()
			f.endpoint.Implicit = implicit
			f.endpoint.LoginTimeout = 30 * time.Second
			start := time.Now()
			c, _ := f.connect("192.0.2.1")
			if !implicit {
				time.Sleep(20 * time.Second)
				io.WriteString(c, "STLS\r\n")
				expect(t, bufio.NewReader(c), "+OK")
			}
			io.WriteString(c, "\x16\x03\x01") // and no more
			if _, err := io.ReadAll(c); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took != 30*time.Second {
				t.Errorf("implicit %v: cut after %v", implicit, took)
			}
			f.sessions.Wait()
			if log := f.log.String(); !strings.Contains(log, server.ErrLoginTimeout.Error()) {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// namedAtLength returns a client's certificate with a name of n parts.
func namedAtLength(t *testing.T, n int) tls.Certificate {
	t.Helper()
	client, err := authority.Issue(testenv.Client{Edit: func(c *x509.Certificate) {
		for range n {
			c.Subject.ExtraNames = append(c.Subject.ExtraNames, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 4}, Value: "A"})
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return client.Pair(t)
}

// TestLongNames: the names in a stranger's certificate are not written out
// where they are so long that it would take seconds, and a certificate that
// would take megabytes ends the connection.
func TestLongNames(t *testing.T) {
	for parts, want := range map[int]string{500: "client_subject=(too long)", 5000: "octets of certificates"} {
		var r recorder
		f := newTLSFixture()
		f.Recorder, f.endpoint.TLS.ClientAuth = &r, tls.RequestClientCert
		config := clientConfig("one.example")
		config.Certificates = []tls.Certificate{namedAtLength(t, parts)}
		c, _ := f.connect("192.0.2.1")
		conn, err := stls(t, c, config)
		if err != nil {
			t.Fatal(err)
		}
		if parts > 500 { // TLS 1.3 tells it behind the handshake
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Error("the connection goes on")
			}
		}
		c.Close()
		f.sessions.Wait()
		if log := strings.Join(r.events, "\n") + f.log.String(); !strings.Contains(log, want) {
			t.Errorf("%d parts: %s", parts, log)
		}
	}
}

// Abort reaches a session in the middle of a handshake.
func TestAbortHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTLSFixture()
		c, ended := f.connect("192.0.2.1")
		io.WriteString(c, "STLS\r\n")
		expect(t, bufio.NewReader(c), "+OK")
		if err := f.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, server.ErrServerClosed) {
			t.Errorf("ended with %v", err)
		}
		f.sessions.Wait()
	})
}
