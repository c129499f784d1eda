package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"kpopd/auth/userfile"
)

// scramMechanisms are all that can be named.
const scramMechanisms = `"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "PLAIN"`

// scramPassword is not what it looks like once SASLprep is through with it.
const scramPassword = "sesam o\u0308ffne\u00a0dich"

// startSCRAM serves a site with users that have keys of every kind, and one
// that has none: sha256, sha1, plain and hashed. mechanisms is HCL for a list.
func startSCRAM(t *testing.T, mechanisms string) (*site, *daemon) {
	t.Helper()
	s := newSite(t)
	var users strings.Builder
	for user, scheme := range map[string]string{
		"sha256": "SCRAM-SHA-256", "sha1": "SCRAM-SHA-1", "plain": "PLAIN", "hashed": "SHA512-CRYPT",
	} {
		hash, err := userfile.Hash(scheme, scramPassword)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&users, "%s:%s\n", user, hash)
	}
	s.write(t, "users", users.String())
	return s, s.startEdited(t, `"GSSAPI", "PLAIN", "APOP"`, mechanisms)
}

// mpop runs mpop for a user of d with lines of its configuration.
func (s *site) mpop(t *testing.T, d *daemon, listener, user, password, lines string) (r clientRun, mbox string) {
	t.Helper()
	dir := t.TempDir()
	if listener == "pop3" {
		lines += "tls_starttls on\n"
	} else {
		lines += "tls_starttls off\n"
	}
	rc := fmt.Sprintf("account a\nhost localhost\nport %s\nuser %s\npassword %s\ntls on\ntls_trust_file %s\n%skeep off\nreceived_header off\ndelivery mbox %s/mbox\nuidls_file %s/uidls\n",
		d.port(t, listener), user, password, s.CA, lines, dir, dir)
	if err := os.WriteFile(dir+"/rc", []byte(rc), 0o600); err != nil {
		t.Fatal(err)
	}
	return runClient(t, append(s.world.Env(""), "HOME="+dir), "", "mpop", "-C", dir+"/rc", "-d", "a"), dir + "/mbox"
}

func TestMpopSCRAM(t *testing.T) {
	t.Parallel()
	s, d := startSCRAM(t, scramMechanisms)
	for _, c := range []struct{ user, listener, auth string }{
		{"sha256", "pop3", "SCRAM-SHA-256"},
		{"sha256", "pop3s", "SCRAM-SHA-256"},
		{"sha1", "pop3", "SCRAM-SHA-1"},
		{"plain", "pop3s", "SCRAM-SHA-1"},
		{"plain", "pop3", "SCRAM-SHA-256"},
		{"hashed", "pop3", "PLAIN"},
	} {
		t.Run(c.user+" "+c.auth+" "+c.listener, func(t *testing.T) {
			texts := s.deliver(t, c.user, 2)
			mark := d.log.mark()
			r, mbox := s.mpop(t, d, c.listener, c.user, scramPassword, "auth "+strings.ToLower(c.auth)+"\n")
			r.exits(t, 0)
			sameMessages(t, fromMbox(t, mbox), texts)
			d.loggedIn(t, mark, c.auth, c.user)
		})
	}
	for _, c := range []struct{ user, password, reason string }{
		{"sha256", "wrong", "wrong-password"},
		{"plain", "wrong", "wrong-password"},
		{"sha1", scramPassword, "no-scram-keys"},
		{"hashed", scramPassword, "no-scram-keys"},
		{"mallory", scramPassword, "unknown-user"},
	} {
		t.Run(c.user+" "+c.reason, func(t *testing.T) {
			mark := d.log.mark()
			r, _ := s.mpop(t, d, "pop3s", c.user, c.password, "auth scram-sha-256\n")
			if r.status == 0 {
				t.Errorf("let in\n%s", r)
			}
			r.says(t, "[AUTH] Authentication failed")
			if rec := d.refused(t, mark, c.reason); rec["user"] != c.user || rec["mechanism"] != "SCRAM-SHA-256" {
				t.Errorf("logged as %v", rec)
			}
		})
	}
	d.stop(t)
	logsNoKeys(t, s, d)
}

// logsNoKeys checks that nothing of what the file of users keeps of passwords
// is in the log.
func logsNoKeys(t *testing.T, s *site, d *daemon) {
	t.Helper()
	users, err := os.ReadFile(s.Dir + "/users")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(users)) {
		_, hash, _ := strings.Cut(strings.TrimSpace(line), "}")
		for secret := range strings.SplitSeq(hash, ",") {
			if len(secret) < leakWindow {
				continue // the iteration count
			}
			if found := leaks(d.log.String(), []byte(secret)); found != nil {
				t.Errorf("the log has %q", found)
			}
		}
	}
}

// gsaslScript collects the number of messages over TLS by OpenSSL, with a proof
// by GNU SASL that is bound to that connection: port of POP3S, CA file, version
// of TLS, way of binding, mechanism, user, password, authorization identity.
//
// The ways are tls-exporter, tls-unique, which Python's ssl can tell, wrong,
// which is of another connection, and none.
const gsaslScript = `
import atexit, base64, socket, ssl, subprocess, sys
port, ca, version, way, mechanism, user, password, authzid = sys.argv[1:]

class OpenSSL:
    "A connection by openssl s_client, which prints what tls-exporter is."
    def __init__(self):
        self.p = subprocess.Popen(['openssl', 's_client', '-connect', 'localhost:' + port, '-CAfile', ca,
            '-verify_return_error', '-ign_eof', '-' + version, '-keymatexport', 'EXPORTER-Channel-Binding',
            '-keymatexportlen', '32'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        atexit.register(self.p.kill)
        self.binding = bytes.fromhex(self.until('    Keying material: ')[len('    Keying material: '):])
    def until(self, *starts):
        for line in self.p.stdout:
            if line.startswith(starts):
                return line.rstrip()
        raise EOFError(starts)
    def line(self):
        return self.until('+', '-ERR')
    def say(self, text):
        self.p.stdin.write(text + '\r\n')
        self.p.stdin.flush()

class Python:
    "A connection by Python, which knows what tls-unique is."
    def __init__(self):
        context = ssl.create_default_context(cafile=ca)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.s = context.wrap_socket(socket.create_connection(('localhost', int(port)), 50), server_hostname='localhost')
        self.binding = self.s.get_channel_binding('tls-unique')
        self.f = self.s.makefile('r', newline='\r\n')
    def line(self):
        return self.f.readline().rstrip()
    def say(self, text):
        self.s.sendall((text + '\r\n').encode())

c = Python() if way == 'tls-unique' else OpenSSL()
binding = base64.b64encode(OpenSSL().binding if way == 'wrong' else c.binding).decode()
assert c.line().startswith('+OK')
argv = ['gsasl', '--client', '--quiet', '-d', '-m', mechanism, '-a', user, '-p', password]
if authzid:
    argv += ['-z', authzid]
if way == 'none':
    argv += ['--no-cb']
g = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
def tell(text):
    g.stdin.write(text + '\n')
    g.stdin.flush()
def token():
    "What gsasl says, behind its prompts."
    while True:
        line = g.stdout.readline()
        assert line, 'gsasl ended'
        line = line.rstrip('\n').split(': ')[-1]
        if line != mechanism:
            return line
if way == 'tls-unique':
    tell('') # no tls-exporter
if way != 'none':
    tell(binding)
first = token()
print('gsasl begins', base64.b64decode(first).split(b',n=')[0].decode())
c.say('AUTH ' + mechanism + ' ' + first)
answer = c.line()
while answer.startswith('+ '):
    print('server says', base64.b64decode(answer[2:]).split(b'=')[0].decode() + '=')
    tell(answer[2:])
    if base64.b64decode(answer[2:]).startswith(b'v='):
        tell('') # it has nothing more to hear
        g.stdin.close()
        assert g.wait() == 0, 'gsasl does not trust the server'
        c.say('')
    else:
        c.say(token())
    answer = c.line()
print(answer)
if answer.startswith('+OK'):
    c.say('STAT')
    print(c.line())
c.say('QUIT')
c.line()
`

// TestGsasl proves by GNU SASL, over connections by OpenSSL.
func TestGsasl(t *testing.T) {
	t.Parallel()
	s, d := startSCRAM(t, scramMechanisms)
	s.deliver(t, "sha256", 1)
	s.deliver(t, "sha1", 1)
	file := script(t, "gsasl.py", gsaslScript)
	for _, c := range []struct{ version, way, mechanism, user, authzid, begins, reason string }{
		{"tls1_3", "tls-exporter", "SCRAM-SHA-256-PLUS", "sha256", "", "p=tls-exporter,", ""},
		{"tls1_2", "tls-exporter", "SCRAM-SHA-256-PLUS", "sha256", "", "p=tls-exporter,", ""},
		{"tls1_2", "tls-unique", "SCRAM-SHA-256-PLUS", "sha256", "sha256", "p=tls-unique,a=sha256", ""},
		{"tls1_3", "tls-exporter", "SCRAM-SHA-1-PLUS", "sha1", "", "p=tls-exporter,", ""},
		{"tls1_3", "none", "SCRAM-SHA-256", "sha256", "", "n,", ""},
		{"tls1_3", "none", "SCRAM-SHA-256", "sha256", "plain", "n,a=plain", "authzid-not-allowed"},
		{"tls1_3", "wrong", "SCRAM-SHA-256-PLUS", "sha256", "", "p=tls-exporter,", "channel-binding-mismatch"},
		{"tls1_3", "tls-exporter", "SCRAM-SHA-256-PLUS", "mallory", "", "p=tls-exporter,", "unknown-user"},
	} {
		t.Run(strings.Join([]string{c.version, c.way, c.mechanism, c.user, c.authzid}, " "), func(t *testing.T) {
			mark := d.log.mark()
			r := runClient(t, s.world.Env(""), "", "python3", file,
				d.port(t, "pop3s"), s.CA, c.version, c.way, c.mechanism, c.user, scramPassword, c.authzid).exits(t, 0)
			r.says(t, "gsasl begins "+c.begins+"\n")
			if c.reason != "" {
				r.says(t, "-ERR [AUTH] ")
				d.refused(t, mark, c.reason)
				return
			}
			r.says(t, "server says r=\n", "server says v=\n", "+OK 1 message", "+OK 1 ")
			d.loggedIn(t, mark, c.mechanism, c.user)
		})
	}
	d.stop(t)
}

// TestFetchmailBesideSCRAM: fetchmail, which sees but the first octets of the
// mechanisms, finds GSSAPI before all of SCRAM's.
func TestFetchmailBesideSCRAM(t *testing.T) {
	t.Parallel()
	s, d := startSCRAM(t, `"GSSAPI", `+scramMechanisms)
	texts := s.deliver(t, "alice", 2)
	mark := d.log.mark()
	f := s.newFetchmail(t, s.world.Kinit(t, "alice"), "proto POP3 auth gssapi port "+d.port(t, "pop3"), "user alice "+viaTLS)
	f.collects(t, texts).says(t, "SCRAM-SHA-256-PLUS")
	d.loggedIn(t, mark, "GSSAPI", "alice")
	d.stop(t)
}
