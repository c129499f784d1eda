package testenv_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kpopd/testenv"
)

// TestSendauth runs our client in C against MIT's krb5_recvauth.
func TestSendauth(t *testing.T) {
	w := testenv.Start(t)
	program := testenv.Sendauth(t)
	server := w.Recvauth(t, w.Keytab)
	alice := w.Kinit(t, "alice")
	saved := filepath.Join(t.TempDir(), "apreq")
	run := func(cache, service string, flags ...string) testenv.Result {
		return w.RunSendauth(t, program, cache, server, service, "CAPA\nNOOP\nQUIT\n", flags...)
	}
	const session = "+OK list\r\nUSER\r\n.\r\n-ERR not here\r\n+OK bye\r\n"
	for _, test := range []struct {
		name           string
		result         testenv.Result
		code           int
		stdout, stderr string
	}{
		{"plain", run(alice, "pop/localhost"), 0, "+OK alice@EXAMPLE.TEST\r\n" + session, ""},
		{"mutual", run(alice, "pop/pop.example.test", "-mutual", "-subkey"), 0, "+OK alice@EXAMPLE.TEST\r\n" + session, ""},
		{"pipeline", run(alice, "pop/localhost", "-pipeline"), 0, "+OK alice@EXAMPLE.TEST\r\n" + session, ""},
		{"other realm", run(w.Kinit(t, "carol@PARTNER.TEST"), "pop/localhost@EXAMPLE.TEST"), 0, "+OK carol@PARTNER.TEST\r\n" + session, ""},
		{"other service", run(alice, "imap/localhost"), 2, "", "KRB-ERROR 35: "},
		{"version", run(alice, "pop/localhost", "-version", "KPOPV0.9"), 2, "", "status 2\n-ERR [AUTH] "},
		{"old", run(w.PastTicket(t, "alice", "pop/localhost", 2*time.Hour, time.Hour), "pop/localhost", "-stale"), 2, "", "KRB-ERROR 32: "},
		{"save", run(alice, "pop/localhost", "-mutual", "-save", saved), 0, "+OK alice@EXAMPLE.TEST\r\n" + session, ""},
		{"replay", run("", "pop/localhost", "-replay", saved), 2, "", "KRB-ERROR 34: "},
		{"no ticket", run("", "pop/localhost"), 1, "", "credentials cache: "},
	} {
		r := test.result
		if r.Code != test.code || r.Stdout != test.stdout || !strings.HasPrefix(r.Stderr, test.stderr) {
			t.Errorf("%s: status %d, want %d\n%v", test.name, r.Code, test.code, r)
		}
	}
	if data, err := os.ReadFile(saved); err != nil || len(data) < 400 || data[0] != 0x6e {
		t.Errorf("saved AP-REQ: %x, %v", data, err)
	}
}
