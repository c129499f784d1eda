package main

import (
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"kpopd/auth/krb5"
	"kpopd/testenv"
)

// kpopVersions are the frames with which every KPOP client begins.
const kpopVersions = "\x00\x00\x00\x13KRB5_SENDAUTH_V1.0\x00\x00\x00\x00\x09KPOPV1.0\x00"

// kpopFrame is one message of the exchange, with its length.
func kpopFrame(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) octets(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	if n, err := io.ReadFull(c.r, b); err != nil {
		c.t.Fatalf("reading octets: %v (got %q)", err, b[:n])
	}
	return b
}

func (c *client) frame() []byte {
	c.t.Helper()
	n := binary.BigEndian.Uint32(c.octets(4))
	if n > 1<<16 {
		c.t.Fatalf("a frame of %d octets is announced", n)
	}
	return c.octets(int(n))
}

// closed fails the test unless the server ends the connection without another
// octet.
func (c *client) closed() {
	c.t.Helper()
	if b, err := io.ReadAll(c.r); err != nil || len(b) > 0 {
		c.t.Fatalf("at the end of the connection: %q, %v", b, err)
	}
}

// A krbError is what a KRB-ERROR says to the client (RFC 4120 §5.9.1).
type krbError struct {
	Code int
	Text string
}

// parseKRBError reads a KRB-ERROR, and fails the test on anything else.
func parseKRBError(t testing.TB, b []byte) krbError {
	t.Helper()
	var e krbError
	var outer, sequence, field, value asn1.RawValue
	rest, err := asn1.Unmarshal(b, &outer)
	if err == nil && len(rest) == 0 && outer.Class == asn1.ClassApplication && outer.Tag == 30 {
		_, err = asn1.Unmarshal(outer.Bytes, &sequence)
	}
	for rest = sequence.Bytes; err == nil && len(rest) > 0; {
		if rest, err = asn1.Unmarshal(rest, &field); err != nil {
			break
		}
		switch field.Tag {
		case 6:
			_, err = asn1.Unmarshal(field.Bytes, &e.Code)
		case 11:
			_, err = asn1.Unmarshal(field.Bytes, &value)
			e.Text = string(value.Bytes)
		}
	}
	if err != nil || e.Code == 0 || e.Text == "" {
		t.Fatalf("%x is no KRB-ERROR with a text: %v", b, err)
	}
	return e
}

// sendauth shows an AP-REQ to a KPOP listener and returns the KRB-ERROR, nil
// for none. The AP-REP, if one was asked for, is still to be read.
func (c *client) sendauth(apReq []byte) *krbError {
	c.t.Helper()
	c.send(append([]byte(kpopVersions), kpopFrame(apReq)...))
	if status := c.octets(1); status[0] != 0 {
		c.t.Fatalf("status %d", status[0])
	}
	answer := c.frame()
	if len(answer) == 0 {
		return nil
	}
	e := parseKRBError(c.t, answer)
	return &e
}

// gssToken is the context token of an AP-REQ (RFC 2743 §3.1, RFC 4121 §4.1).
func gssToken(apReq []byte) []byte {
	body := append([]byte("\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00"), apReq...)
	return append([]byte{0x60, 0x82, byte(len(body) >> 8), byte(len(body))}, body...)
}

// authGSSAPI sends a context token and returns the server's line.
func (c *client) authGSSAPI(token []byte) string {
	c.t.Helper()
	if s := c.say("AUTH GSSAPI"); s != "+ " {
		c.t.Fatalf("AUTH GSSAPI: %q", s)
	}
	return c.say("%s", base64.StdEncoding.EncodeToString(token))
}

// A mintedSite is a site whose keytab has the keys of the KDC's services, and
// beside them those of a mint, which makes the tickets that no KDC gives.
type mintedSite struct {
	*site
	mint    *krb5.Mint
	service krb5.Principal // of the mint: pop/mint.example.test
	alice   krb5.Principal
}

func newMintedSite(t testing.TB) *mintedSite {
	t.Helper()
	mint, err := krb5.NewMint(testenv.Realm, "pop/mint.example.test", "imap/mint.example.test")
	if err != nil {
		t.Fatal(err)
	}
	s := &mintedSite{newSite(t), mint, principal(t, "pop/mint.example.test@EXAMPLE.TEST"), principal(t, "alice@EXAMPLE.TEST")}
	path := filepath.Join(s.Dir, "mint.keytab")
	if err := mint.WriteKeytab(path); err != nil {
		t.Fatal(err)
	}
	s.Keytab = s.concatKeytabs(t, s.world.Keytab, s.world.OtherKeytab, path)
	return s
}

func principal(t testing.TB, name string) krb5.Principal {
	t.Helper()
	p, err := krb5.ParsePrincipal(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// request mints a ticket of client's for service and returns an AP-REQ.
func (s *mintedSite) request(t testing.TB, client, service krb5.Principal, o krb5.TicketOptions, r krb5.RequestOptions) []byte {
	t.Helper()
	return mintRequest(t, s.mint, client, service, o, r)
}

func mintRequest(t testing.TB, m *krb5.Mint, client, service krb5.Principal, o krb5.TicketOptions, r krb5.RequestOptions) []byte {
	t.Helper()
	ticket, err := m.Ticket(client, service, o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ticket.Request(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// aliceRequest is an AP-REQ of alice's that is right.
func (s *mintedSite) aliceRequest(t testing.TB) []byte {
	t.Helper()
	return s.request(t, s.alice, s.service, krb5.TicketOptions{}, krb5.RequestOptions{})
}

// gssChecksum is the checksum of an authenticator by which GSS tells its flags
// (RFC 4121 §4.1.1): no channel binding, integrity.
func gssChecksum(o krb5.RequestOptions) krb5.RequestOptions {
	sum := make([]byte, 24)
	sum[0], sum[20] = 16, 1<<5
	o.Checksum.CksumType, o.Checksum.Checksum = 0x8003, sum
	return o
}

// admits fails the test unless alice can log in with a ticket of the mint's.
func (s *mintedSite) admits(t testing.TB, d *daemon) {
	t.Helper()
	c := dial(t, d.addrs["kpop"])
	if e := c.sendauth(s.aliceRequest(t)); e != nil {
		t.Fatalf("a good ticket is refused: %v\n%s", *e, d.log)
	}
	if s := c.line(); !strings.HasPrefix(s, "+OK") {
		t.Fatalf("greeting: %s", s)
	}
	c.ok("USER alice")
	c.ok("PASS krb_ticket")
	c.ok("QUIT")
}

func TestSendauth(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.start(t)
	texts := s.deliver(t, "alice", 2)
	cache, bin := s.world.Kinit(t, "alice"), testenv.Sendauth(t)
	const push = "USER alice\nPASS hej\nSTAT\nQUIT\n"
	stat := fmt.Sprintf("+OK 2 %d\r\n", len(crlf(texts[0]))+len(crlf(texts[1])))
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"not mutual", nil},
		{"mutual", []string{"-mutual"}},
		{"subkey", []string{"-subkey"}},
		{"mutual with a subkey", []string{"-mutual", "-subkey"}},
		{"pipelined", []string{"-pipeline"}},
		{"pipelined, mutual", []string{"-pipeline", "-mutual"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mark := d.log.mark()
			r := s.world.RunSendauth(t, bin, cache, d.addrs["kpop"], "pop/localhost", push, c.flags...)
			lines := strings.SplitAfter(r.Stdout, "\r\n")
			if r.Code != 0 || len(lines) != 6 || lines[3] != stat || lines[4] != "+OK Bye\r\n" {
				t.Fatalf("status %d\n%v", r.Code, r)
			}
			d.loggedIn(t, mark, "KPOP", "alice")
		})
	}
	t.Run("version", func(t *testing.T) {
		mark := d.log.mark()
		r := s.world.RunSendauth(t, bin, cache, d.addrs["kpop"], "pop/localhost", push, "-version", "KPOPV0.9")
		if r.Code != 2 || r.Stderr != "status 2\n-ERR [SYS/PERM] This version of KPOP is not supported here\n" {
			t.Errorf("status %d\n%v", r.Code, r)
		}
		d.refused(t, mark, "kpop-version")
	})
	d.stop(t)
}

// sendauth runs one session of the client on MIT's library, and returns what
// the server said in it.
func (s *site) sendauth(t testing.TB, d *daemon, user, lines string, flags ...string) string {
	t.Helper()
	r := s.world.RunSendauth(t, testenv.Sendauth(t), s.world.Kinit(t, user), d.addrs["kpop"], "pop/localhost", lines, flags...)
	if r.Code != 0 {
		t.Fatalf("status %d\n%v", r.Code, r)
	}
	return r.Stdout
}
