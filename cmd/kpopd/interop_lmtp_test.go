package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kpopd/maildrop"
	"kpopd/testenv"
)

// A postRoom is a server that takes mail by LMTP on a Unix socket, for alice
// and bob, who collect it in the clear.
type postRoom struct {
	dir, config, socket string
	d                   *daemon
}

const postRoomConfig = `
hostname  = "localhost"
state_dir = "%[1]s/state"
listener "clear" {
  address           = "127.0.0.1:0"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "any"
  sdps              = true
}
listener "lmtp" {
  address             = "unix:%[1]s/lmtp"
  protocol            = "lmtp"
  socket_mode         = "0666"
  recipient_delimiter = "+"
}
authenticator "file" "users" {
  path = "users"
}
account {
  when     = user == "small"
  maildrop = "small"
  quota    = "1MiB"
}
maildrop "maildir" {
  path = "%[1]s/mail/${maildrop}"
}
log {
  format = "json"
}
`

func newPostRoom(t testing.TB, more string) *postRoom {
	t.Helper()
	dir, err := os.MkdirTemp("", "kpopd-lmtp-") // a socket's name is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &postRoom{dir: dir, config: filepath.Join(dir, "kpopd.hcl"), socket: filepath.Join(dir, "lmtp")}
	err = errors.Join(os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(dir, "mail"), 0o755),
		os.WriteFile(filepath.Join(dir, "users"), []byte("alice:{PLAIN}secret\nbob:{PLAIN}secret\nsmall:{PLAIN}secret\n"), 0o600),
		os.WriteFile(p.config, []byte(fmt.Sprintf(postRoomConfig, dir)+more), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *postRoom) start(t testing.TB) *postRoom {
	p.d = startDaemon(t, p.config)
	return p
}

// connect says LHLO.
func (p *postRoom) connect(t testing.TB) *lmtpClient {
	t.Helper()
	c, err := net.Dial("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	l := newLMTPClient(t, c)
	l.says(t, 220)
	l.send(t, "LHLO mx.example.test\r\n").says(t, 250)
	return l
}

// An lmtpClient speaks LMTP.
type lmtpClient struct {
	net.Conn
	r *textproto.Reader
}

func newLMTPClient(t testing.TB, c net.Conn) *lmtpClient {
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return &lmtpClient{c, textproto.NewReader(bufio.NewReader(c))}
}

func (l *lmtpClient) send(t testing.TB, text string) *lmtpClient {
	t.Helper()
	if _, err := io.WriteString(l, text); err != nil {
		t.Fatal(err)
	}
	return l
}

// says reads replies, and wants these codes.
func (l *lmtpClient) says(t testing.TB, codes ...int) (last string) {
	t.Helper()
	for _, code := range codes {
		_, text, err := l.r.ReadResponse(code)
		if err != nil {
			t.Fatalf("%d %s: %v", code, text, err)
		}
		last = text
	}
	return last
}

// texts are the messages in new of a maildrop.
func (p *postRoom) texts(t testing.TB, name string) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "mail", name, "new", "*"))
	for _, file := range files {
		text, err2 := os.ReadFile(file)
		err = errors.Join(err, err2)
		all = append(all, string(text))
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// collect logs in and returns the messages and what *ENV says of each: sender
// and recipient. What LIST announces is what RETR sends.
func (p *postRoom) collect(t testing.TB, user string) (texts, envelopes []string) {
	t.Helper()
	c, err := net.Dial("tcp", p.d.addrs["clear"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	r := textproto.NewReader(bufio.NewReader(c))
	say := func(format string, a ...any) string {
		fmt.Fprintf(c, format+"\r\n", a...)
		line, err := r.ReadLine()
		if err != nil || !strings.HasPrefix(line, "+OK") {
			t.Fatalf("%s: %q %v", fmt.Sprintf(format, a...), line, err)
		}
		return line
	}
	r.ReadLine()
	say("USER %s", user)
	say("PASS secret")
	var n, octets int
	fmt.Sscanf(say("STAT"), "+OK %d %d", &n, &octets)
	total := 0
	for i := 1; i <= n; i++ {
		say("RETR %d", i)
		text, _ := r.ReadDotBytes()
		total += len(text) + strings.Count(string(text), "\n") // a DotReader makes LF of CRLF
		say("*ENV %d", i)
		env, _ := r.ReadDotLines()
		texts, envelopes = append(texts, string(text)), append(envelopes, env[2]+" "+env[3])
	}
	if total != octets {
		t.Errorf("STAT announces %d octets, RETR sends %d", octets, total)
	}
	say("QUIT")
	return texts, envelopes
}

// TestPostfix has a real Postfix deliver by LMTP, by its own Maildir delivery
// into a Maildir that is served at the same time, and by "kpopd deliver", and
// looks at it as POP3 clients do.
func TestPostfix(t *testing.T) {
	t.Parallel()
	p := newPostRoom(t, "").start(t)
	run := p.program(t)
	const daemonUser = 1 // everywhere
	carol, bob := filepath.Join(p.dir, "mail", "carol"), filepath.Join(p.dir, "mail", "bob")
	err := errors.Join(os.Mkdir(carol, 0o700), os.Chown(carol, daemonUser, daemonUser), os.Mkdir(bob, 0o700), os.Chown(bob, 8, 8))
	if err != nil {
		t.Fatal(err)
	}
	mta := testenv.StartPostfix(t, testenv.PostfixConfig{
		Main: fmt.Sprintf(`virtual_mailbox_domains = lmtp.test own.test pipe.test
virtual_transport = lmtp:unix:%[1]s
transport_maps = inline:{own.test=virtual:, pipe.test=deliver:}
virtual_mailbox_maps = static:bob/
virtual_mailbox_base = %[2]s/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:8
virtual_gid_maps = static:8
recipient_delimiter = +
`, p.socket, p.dir),
		Master: fmt.Sprintf("deliver unix - n n - - pipe flags=Ru user=daemon argv=%s deliver -config %s -f ${sender} -a ${original_recipient} -d ${user}\n", run, p.config),
	})
	c, err := net.Dial("tcp", mta.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	l := newLMTPClient(t, c)
	l.says(t, 220)
	l.send(t, "EHLO client.test\r\n").says(t, 250)
	const text = "From: sender@elsewhere.test\r\nSubject: to all\r\n\r\n..a line with a dot\r\n\r\nthe last\r\n"
	l.send(t, "MAIL FROM:<sender@elsewhere.test>\r\n").says(t, 250)
	for _, to := range []string{"alice@lmtp.test", "alice+list@lmtp.test", "bob@lmtp.test", "nobody@lmtp.test", "bob@own.test", "carol@pipe.test"} {
		l.send(t, "RCPT TO:<"+to+">\r\n").says(t, 250)
	}
	l.send(t, "DATA\r\n").says(t, 354)
	l.send(t, text+".\r\n").says(t, 250)
	mta.Await(t, "status=sent", 5)
	mta.Await(t, "status=bounced", 1)
	if !strings.Contains(mta.Log(), "said: 550 5.1.1 No such user here") {
		t.Errorf("nobody's mail was not refused: %s", mta.Log())
	}
	p.sees(t, "alice", "sender@elsewhere.test alice+list@lmtp.test", "sender@elsewhere.test alice@lmtp.test")
	p.sees(t, "bob", "sender@elsewhere.test bob@lmtp.test", "sender@elsewhere.test bob@own.test")
	mail := p.texts(t, "carol")
	if len(mail) != 1 {
		t.Fatalf("carol has %d messages: %s", len(mail), mta.Log())
	}
	e, err := maildrop.ParseEnvelope(strings.NewReader(mail[0]))
	if want := (maildrop.Envelope{Sender: "sender@elsewhere.test", Recipient: "carol@pipe.test"}); e != want || err != nil {
		t.Errorf("carol's envelope %+v, %v", e, err)
	}
}

// TestExim has a real Exim call "kpopd deliver", for somebody, for nobody, and
// for one whose maildrop cannot be made now: delivered, returned, put off.
func TestExim(t *testing.T) {
	t.Parallel()
	p := newPostRoom(t, "account {\n  when     = user == \"root\"\n  maildrop = \"\"\n}\n")
	run := p.program(t)
	mail := filepath.Join(p.dir, "mail")
	if err := errors.Join(os.Symlink("/nonexistent", mail+"/dave"), os.Chown(mail, 8, 8)); err != nil {
		t.Fatal(err)
	}
	transport := fmt.Sprintf("  command = %s deliver -config %s -d \"$local_part_data\"\n  temp_errors = 75\n  freeze_signal\n  log_output\n  message_suffix =\n", run, p.config)
	log := testenv.Exim(t, transport, []string{"carol", "root", "dave"}, "sender@elsewhere.test",
		"From: sender@elsewhere.test\nSubject: x\n\ntext\n.\n", "carol@pipe.test", "root@pipe.test", "dave@pipe.test")
	for _, want := range []string{"=> carol <carol@pipe.test>", "** root@pipe.test R=all T=pipe: Child process of pipe transport returned 67", "== dave@pipe.test R=all T=pipe defer"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q: %s", want, log)
		}
	}
	if got := p.texts(t, "carol"); len(got) != 1 || !strings.HasPrefix(got[0], "Return-Path: <sender@elsewhere.test>\nDelivered-To: carol\nReceived: ") || !strings.HasSuffix(got[0], "\n\ntext\n.\n") {
		t.Errorf("carol has %q", got)
	}
}

// program returns a program that any user can run as kpopd.
func (p *postRoom) program(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	wrapper := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s/kpopd \"$@\"\n", asKpopd, p.dir)
	if err := errors.Join(err, os.WriteFile(p.dir+"/kpopd", binary, 0o755), os.WriteFile(p.dir+"/run", []byte(wrapper), 0o755)); err != nil {
		t.Fatal(err)
	}
	return p.dir + "/run"
}

// sees checks what somebody collects: the message to all, with these envelopes.
func (p *postRoom) sees(t *testing.T, user string, want ...string) {
	t.Helper()
	texts, envelopes := p.collect(t, user)
	slices.Sort(envelopes)
	if !slices.Equal(envelopes, want) {
		t.Errorf("%s has mail for %q, want %q", user, envelopes, want)
	}
	for _, text := range texts {
		whole := strings.Contains(text, "\nSubject: to all\n") && strings.HasSuffix(text, "\n\n.a line with a dot\n\nthe last\n")
		if !whole || strings.Count(text, "Return-Path: ") != 1 {
			t.Errorf("%s has %q", user, text)
		}
	}
}

// TestSmtplib delivers with Python's client.
func TestSmtplib(t *testing.T) {
	t.Parallel()
	p := newPostRoom(t, "").start(t)
	const script = `
import smtplib, sys
s = smtplib.LMTP(sys.argv[1])
assert s.sendmail('a@b.test', ['alice@c.test'], 'Subject: x\r\n\r\n.\r\ntext\r\n', mail_options=['BODY=8BITMIME']) == {}
try:
    s.sendmail('a@b.test', ['nobody@c.test'], 'x')
    sys.exit('nobody got it')
except smtplib.SMTPRecipientsRefused as e:
    assert e.recipients['nobody@c.test'] == (550, b'5.1.1 No such user here'), e.recipients
s.quit()
`
	if out, err := exec.Command(testenv.Need(t, "python3"), "-c", script, p.socket).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if texts, envelopes := p.collect(t, "alice"); len(texts) != 1 || envelopes[0] != "a@b.test alice@c.test" || !strings.HasSuffix(texts[0], "\n\n.\ntext\n") {
		t.Errorf("alice has %q %q", texts, envelopes)
	}
}

// TestLMTPCase: senders write names in other letters than their owners do. Whom
// nobody has as he is written is looked for in lower case; another domain's
// user is not taken for him.
func TestLMTPCase(t *testing.T) {
	t.Parallel()
	p := newPostRoom(t, "listener \"known\" {\n  address = \"127.0.0.1:0\"\n  protocol = \"lmtp\"\n  tls = \"off\"\n  recipients = \"maildrops\"\n}\n")
	users := "alice:{PLAIN}x\nBob:{PLAIN}x\nalice@a.test:{PLAIN}x\n"
	if err := os.WriteFile(filepath.Join(p.dir, "users"), []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start(t)
	l := p.connect(t)
	l.send(t, "MAIL FROM:<>\r\nRCPT TO:<ALICE+x@c.test>\r\nRCPT TO:<Bob@c.test>\r\nRCPT TO:<Alice@A.test>\r\nRCPT TO:<alice@A.test>\r\nRCPT TO:<Carol@c.test>\r\n").
		says(t, 250, 250, 250, 250, 250, 550)
	l.send(t, "DATA\r\ntext\r\n.\r\n").says(t, 354, 250, 250, 250, 250)
	for name, want := range map[string]int{"alice": 1, "Bob": 1, "alice@a.test": 2, "ALICE": 0} {
		if n := len(p.texts(t, name)); n != want {
			t.Errorf("%s has %d messages, want %d", name, n, want)
		}
	}
	conn, err := net.Dial("tcp", p.d.addrs["known"])
	if err != nil {
		t.Fatal(err)
	}
	l = newLMTPClient(t, conn)
	l.send(t, "LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<Alice@c.test>\r\nRCPT TO:<Carol@c.test>\r\n").says(t, 220, 250, 250, 250, 550)
}

// TestLMTPSaveCRLF: where the configuration says so, what comes by LMTP is kept
// as it goes out, its name says whether it can be sent without being looked at,
// and the client has the same text as where it is kept with LF.
func TestLMTPSaveCRLF(t *testing.T) {
	t.Parallel()
	p := newPostRoom(t, "")
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("${maildrop}\""), []byte("${maildrop}\"\n  save_crlf = true"), 1)
	if err := os.WriteFile(p.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p.start(t)
	l := p.connect(t)
	long := strings.Repeat("0123456789\r\n", 10_000)
	for _, body := range []string{long, "..dot\r\n" + long, ""} {
		l.send(t, "MAIL FROM:<a@b.test>\r\nRCPT TO:<alice@c.test>\r\nDATA\r\n").says(t, 250, 250, 354)
		l.send(t, "Subject: x\r\n\r\n"+body+".\r\n").says(t, 250)
	}
	ready, err := filepath.Glob(filepath.Join(p.dir, "mail", "alice", "new", "*,D=0"))
	if err != nil || len(ready) != 2 {
		t.Errorf("said to be ready: %q, %v; want two", ready, err)
	}
	for _, text := range p.texts(t, "alice") {
		if strings.Count(text, "\n") != strings.Count(text, "\r\n") {
			t.Errorf("%.200q has other line ends than CRLF", text)
		}
	}
	texts, _ := p.collect(t, "alice")
	long = strings.ReplaceAll(long, "\r", "")
	for i, want := range []string{long, ".dot\n" + long, ""} {
		if i >= len(texts) || !strings.HasSuffix(texts[i], "Subject: x\n\n"+want) {
			t.Errorf("message %d of %d is another", i+1, len(texts))
		}
	}
}

// TestLMTPHostile: whatever one client sends, it takes no more than its share,
// and others are served.
func TestLMTPHostile(t *testing.T) {
	t.Parallel()
	p := newPostRoom(t, "").start(t)
	endless := p.connect(t)
	go io.Copy(endless, repeating("x")) // until it is cut
	if _, err := endless.r.ReadLine(); err == nil {
		t.Error("a command without an end was answered")
	}
	many := p.connect(t)
	go func() {
		w := bufio.NewWriter(many)
		fmt.Fprint(w, "MAIL FROM:<>\r\n")
		for i := range 10000 {
			fmt.Fprintf(w, "RCPT TO:<alice+%d@c.test>\r\n", i)
		}
		fmt.Fprint(w, "RSET\r\n")
		w.Flush()
	}()
	many.says(t, 250)
	many.says(t, slices.Repeat([]int{250}, 1000)...)
	many.says(t, slices.Repeat([]int{452}, 9000)...)
	many.says(t, 250)

	hangs := p.connect(t)
	hangs.send(t, "MAIL FROM:<>\r\nRCPT TO:<bob@c.test>\r\nDATA\r\nhalf a message\r\n").says(t, 250, 250, 354)
	p.large(t)
	small := p.connect(t)
	small.send(t, "MAIL FROM:<>\r\nRCPT TO:<small@c.test>\r\nRCPT TO:<bob@c.test>\r\nDATA\r\n").says(t, 250, 250, 250, 354)
	small.send(t, strings.Repeat("x\x00\r\n", 300000)+".\r\nQUIT\r\n")
	small.says(t, 250, 250, 221) // 900,000 octets as stored
	small = p.connect(t)
	small.send(t, "MAIL FROM:<>\r\nRCPT TO:<small@c.test>\r\nRCPT TO:<bob@c.test>\r\nDATA\r\n").says(t, 250, 250, 250, 354)
	small.send(t, strings.Repeat("x\x00\r\n", 100000)+".\r\n")
	small.says(t, 452, 250)
	if n := len(p.texts(t, "small")); n != 1 {
		t.Errorf("%d messages within the quota", n)
	}
	if n := len(p.texts(t, "bob")); n != 2 { // and not what hangs
		t.Errorf("bob has %d messages", n)
	}
	if high := p.d.peak(t); high > 160<<20 { // most is the race detector's
		t.Errorf("%d octets of memory were taken", high)
	}
}

// large delivers a message of 120 MB, most of it one line of a header.
func (p *postRoom) large(t *testing.T) {
	t.Helper()
	l := p.connect(t)
	l.send(t, "MAIL FROM:<>\r\nRCPT TO:<alice@c.test>\r\nRCPT TO:<alice+2@c.test>\r\nDATA\r\nX-Long: ").says(t, 250, 250, 250, 354)
	if _, err := io.CopyN(l, repeating("y"), 100<<20); err != nil {
		t.Fatal(err)
	}
	l.send(t, "\r\n"+strings.Repeat("X: y\r\n", 1<<20)+"\r\n.\r\n").says(t, 250, 250)
}

// repeating is a text without an end.
func repeating(s string) io.Reader { return &repeat{strings.Repeat(s, 64<<10)} }

type repeat struct{ s string }

func (r *repeat) Read(p []byte) (int, error) { return copy(p, r.s), nil }

// TestLMTPClientCertificate: from other machines only those deliver whose
// certificate a client authority has signed.
func TestLMTPClientCertificate(t *testing.T) {
	t.Parallel()
	p := newPostRoom(t, `
listener "far" {
  address             = "127.0.0.1:0"
  protocol            = "lmtp"
  tls                 = "starttls"
  client_certificates = "require"
}
tls {
  certificate {
    cert_file = "tls.crt"
    key_file  = "tls.key"
  }
  client_ca_file = "clients.pem"
}
`)
	clients, err := testenv.NewCA()
	if err == nil {
		err = errors.Join(writeCertificates(p.dir, "localhost"), os.Symlink(clients.File(t), p.dir+"/clients.pem"))
	}
	others, err2 := testenv.NewCA()
	good, err3 := clients.Client("mx")
	bad, err4 := others.Client("mx")
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	p.start(t)
	for name, c := range map[string]struct {
		certs []tls.Certificate
		ok    bool
	}{
		"none": {nil, false}, "another's": {[]tls.Certificate{bad.Pair(t)}, false}, "good": {[]tls.Certificate{good.Pair(t)}, true},
	} {
		conn, err := net.Dial("tcp", p.d.addrs["far"])
		if err != nil {
			t.Fatal(err)
		}
		l := newLMTPClient(t, conn)
		l.says(t, 220)
		l.send(t, "LHLO mx\r\n").says(t, 250)
		l.send(t, "MAIL FROM:<>\r\n").says(t, 530)
		l.send(t, "STARTTLS\r\n").says(t, 220)
		l = newLMTPClient(t, tls.Client(conn, &tls.Config{InsecureSkipVerify: true, Certificates: c.certs}))
		_, werr := io.WriteString(l, "LHLO mx\r\nMAIL FROM:<>\r\nRCPT TO:<alice@c.test>\r\nDATA\r\ntext\r\n.\r\n")
		_, _, rerr := l.r.ReadResponse(250)
		if ok := werr == nil && rerr == nil; ok != c.ok {
			t.Errorf("with the certificate %s: %v %v", name, werr, rerr)
		}
		if c.ok {
			l.says(t, 250, 250, 354, 250)
		}
	}
	if mail := p.texts(t, "alice"); len(mail) != 1 || !strings.Contains(mail[0], "with LMTPS id") {
		t.Errorf("alice has %q", mail)
	}
}

// TestLMTPKill kills the server at random moments of deliveries. What was
// answered with 250 is there, and nothing that is not whole.
func TestLMTPKill(t *testing.T) {
	t.Parallel()
	rounds := 60
	if testing.Short() {
		rounds = 5
	}
	p := newPostRoom(t, "")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	acked, open := 0, 0
	for round := range rounds {
		p.start(t)
		got := p.deliverUntilKilled(t, round, time.Duration(rnd.Int64N(int64(40*time.Millisecond))))
		acked, open = acked+len(got), open+1
		p.inspect(t, got)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d deliveries were acknowledged in %d lives", acked, open)
	if acked == 0 {
		t.Error("nothing was ever acknowledged")
	}
}

// deliverUntilKilled delivers messages to two people, and returns those that
// were acknowledged, as "NAME ID".
func (p *postRoom) deliverUntilKilled(t *testing.T, round int, after time.Duration) (acked []string) {
	l := p.connect(t)
	defer func() { p.d.kill(); <-p.d.ended }()
	defer time.AfterFunc(after, p.d.kill).Stop()
	for i := 0; ; i++ {
		id := fmt.Sprintf("%d.%d", round, i)
		body := strings.Repeat("0123456789abcde\r\n", 100*(i%20))
		fmt.Fprintf(l, "MAIL FROM:<>\r\nRCPT TO:<alice@c.test>\r\nRCPT TO:<bob@c.test>\r\nDATA\r\nX-ID: %s\r\n\r\n%send\r\n.\r\n", id, body)
		for _, code := range []int{250, 250, 250, 354} {
			if _, _, err := l.r.ReadResponse(code); err != nil {
				return acked
			}
		}
		for _, name := range []string{"alice", "bob"} {
			if _, _, err := l.r.ReadResponse(250); err != nil {
				return acked
			}
			acked = append(acked, name+" "+id)
		}
	}
}

// inspect looks for what was acknowledged, and for what is not whole.
func (p *postRoom) inspect(t *testing.T, acked []string) {
	t.Helper()
	found := map[string]bool{}
	for _, name := range []string{"alice", "bob"} {
		for _, text := range p.texts(t, name) {
			_, rest, _ := strings.Cut(text, "\nX-ID: ")
			id, _, _ := strings.Cut(rest, "\n")
			if found[name+" "+id] || !strings.HasSuffix(text, "\nend\n") {
				t.Errorf("%s's message %q is there twice, or not whole", name, id)
			}
			found[name+" "+id] = true
		}
	}
	for _, id := range acked {
		if !found[id] {
			t.Errorf("the acknowledged message %s is not there", id)
		}
	}
}
