package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"kpopd/auth/krb5"
)

// crashers are inputs that made a Kerberos library panic, hang or take memory
// without bound.
func crashers(t testing.TB) [][]byte {
	t.Helper()
	f, err := os.Open("../../auth/krb5/testdata/crashers.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all [][]byte
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), "\t")
		b, err := hex.DecodeString(fields[len(fields)-1])
		if err != nil || len(fields) != 4 {
			t.Fatalf("a line of %d fields: %v", len(fields), err)
		}
		all = append(all, b)
	}
	if len(all) < 40 {
		t.Fatalf("only %d inputs", len(all))
	}
	return all
}

// der is one element with its contents.
func der(tag byte, contents ...[]byte) []byte {
	body := bytes.Join(contents, nil)
	switch n := len(body); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, body...)
	case n < 0x100:
		return append([]byte{tag, 0x81, byte(n)}, body...)
	default:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...)
	}
}

// sealedRequest is an AP-REQ (RFC 4120 §5.5.1) for pop/localhost with these
// ciphertexts, which need not be any.
func sealedRequest(etype byte, ticket, authenticator []byte) []byte {
	number := func(tag, n byte) []byte { return der(tag, der(0x02, []byte{n})) }
	text := func(s string) []byte { return der(0x1b, []byte(s)) }
	sealed := func(tag byte, cipher []byte) []byte {
		return der(tag, der(0x30, number(0xa0, etype), number(0xa1, 1), der(0xa2, der(0x04, cipher))))
	}
	name := der(0x30, number(0xa0, 1), der(0xa1, der(0x30, text("pop"), text("localhost"))))
	return der(0x6e, der(0x30, number(0xa0, 5), number(0xa1, 14), der(0xa2, []byte{3, 5, 0, 0, 0, 0, 0}),
		der(0xa3, der(0x61, der(0x30, number(0xa0, 5), der(0xa1, text("EXAMPLE.TEST")), der(0xa2, name), sealed(0xa3, ticket)))),
		sealed(0xa4, authenticator)))
}

// TestCrashers sends such inputs through the network, wherever a stranger can
// put them, and in tickets' authorization data, which its KDC may have filled.
func TestCrashers(t *testing.T) {
	t.Parallel()
	s := newMintedSite(t)
	s.Extra = atOnce
	d := s.start(t)
	for _, b := range crashers(t) {
		shown := [][]byte{b}
		for etype := byte(15); etype <= 24; etype++ {
			shown = append(shown, sealedRequest(etype, b, b))
		}
		for _, apReq := range shown {
			unacceptable(t, d, apReq)
		}
		for _, kind := range []int32{1, 128} { // AD-IF-RELEVANT, AD-WIN2K-PAC
			var o krb5.TicketOptions
			o.AuthData = slices.Grow(o.AuthData, 1)[:1]
			o.AuthData[0].ADType, o.AuthData[0].ADData = kind, b
			c := dial(t, d.addrs["kpop"])
			if e := c.sendauth(s.request(t, s.alice, s.service, o, krb5.RequestOptions{})); e != nil {
				t.Errorf("authorization data of type %d, %.40x: KRB-ERROR %v", kind, b, *e)
			}
			c.Close()
		}
		s.admits(t, d)
	}
	d.calm(t)
	d.stop(t)
}

// unacceptable shows what should be an AP-REQ at every place that takes one.
func unacceptable(t testing.TB, d *daemon, apReq []byte) {
	t.Helper()
	c := dial(t, d.addrs["kpop"])
	if c.sendauth(apReq) == nil {
		t.Errorf("KPOP accepts %.40x", apReq)
	}
	c.Close()
	c = dial(t, d.addrs["pop3"])
	c.line()
	for _, token := range [][]byte{gssToken(apReq), apReq} {
		if line := c.authGSSAPI(token); !strings.HasPrefix(line, "-ERR [AUTH] ") {
			t.Errorf("AUTH GSSAPI with %.40x: %s", token, line)
		}
	}
	c.Close()
}

// calm fails the test if the daemon logged a panic.
func (d *daemon) calm(t testing.TB) {
	t.Helper()
	for line := range strings.Lines(d.log.String()) {
		if strings.Contains(line, "panic") || strings.Contains(line, "DATA RACE") {
			t.Errorf("kpopd logged %s", line)
		}
	}
}

// converse sends all at once, says that no more will come, and returns what
// the server answered until it closed.
func converse(addr string, all []byte) ([]byte, error) {
	c, err := dialQuick(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err := c.Write(all); err != nil {
		return nil, nil // the server has closed already, as it may
	}
	c.CloseWrite()
	answer, err := io.ReadAll(c)
	if err != nil && !isReset(err) {
		return nil, fmt.Errorf("after %d octets of answer to %.100q: %w", len(answer), all, err)
	}
	return answer, nil
}

// authLine is an AUTH command with its initial response.
func authLine(mechanism string, response []byte) string {
	return "AUTH " + mechanism + " " + base64.StdEncoding.EncodeToString(response) + "\r\n"
}

// atOnce lets refusals be answered at once, where there are many of them.
const atOnce = "throttle {\n  delay = \"0s\"\n}\n"
