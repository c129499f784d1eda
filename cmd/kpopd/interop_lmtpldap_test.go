package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"kpopd/testenv"
)

// TestLMTPDirectory delivers to people of a directory, by names and attributes
// that it has of them, to one whom it keeps out, and while it is away.
func TestLMTPDirectory(t *testing.T) {
	t.Parallel()
	w := testenv.Start(t)
	dir := w.LDAP(t)
	p := newPostRoom(t, "")
	text, err := os.ReadFile(p.config)
	if err == nil {
		err = os.WriteFile(p.dir+"/ldap.secret", []byte(testenv.ServicePassword), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(string(text), "authenticator \"file\" \"users\" {\n  path = \"users\"\n}", fmt.Sprintf(`authenticator "ldap" "corp" {
  urls               = ["%s"]
  starttls           = false
  bind_dn            = "%s"
  bind_password_file = "ldap.secret"
  base_dn            = "%s"
  filter             = "(&(objectClass=person)(|(uid=${user})(objectClass=${user})))"
  attributes         = ["mailbox"]
  disabled_attribute = "mailboxDisabled"
  timeout            = "5s"
}
account {
  maildrop = replace(attr.mailbox, "/", "-")
}`, dir.URL, testenv.ServiceDN, testenv.PeopleDN), 1)
	if err := os.WriteFile(p.config, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p.start(t)
	l := p.connect(t)
	l.send(t, "MAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\n").says(t, 250, 250)
	if said := l.send(t, "RCPT TO:<dave@example.test>\r\n").says(t, 550); !strings.HasPrefix(said, "5.2.1 ") {
		t.Errorf("to a disabled account: %s", said)
	}
	if said := l.send(t, "RCPT TO:<person@example.test>\r\n").says(t, 451); !strings.HasPrefix(said, "4.3.0 ") {
		t.Errorf("to a name that is several people's: %s", said)
	}
	for _, nobody := range []string{"nobody", "*", `"b)(uid=*"`, `"../bob"`} {
		if said := l.send(t, "RCPT TO:<"+nobody+"@example.test>\r\n").says(t, 550); !strings.HasPrefix(said, "5.1.1 ") {
			t.Errorf("to %s: %s", nobody, said)
		}
	}
	l.send(t, "DATA\r\ntext\r\n.\r\n").says(t, 354, 250)
	if n := len(p.texts(t, "shared-bob")); n != 1 {
		t.Errorf("%d messages are where the directory says", n)
	}
	p.away(t, config, dir.URL)
	l.send(t, "NOOP\r\n").says(t, 421) // the configuration is another
	l = p.connect(t)
	l.send(t, "MAIL FROM:<>\r\n").says(t, 250)
	for _, name := range []string{"bob", "nobody"} {
		if said := l.send(t, "RCPT TO:<"+name+"@example.test>\r\n").says(t, 451); !strings.HasPrefix(said, "4.3.0 ") {
			t.Errorf("to %s without the directory: %s", name, said)
		}
	}
}

// away has the server ask a directory that is not there.
func (p *postRoom) away(t *testing.T, config, url string) {
	t.Helper()
	config = strings.Replace(config, url, "ldap://127.0.0.1:1", 1) // nobody's
	if err := os.WriteFile(p.config, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	mark := p.d.log.mark()
	p.d.signal(t, syscall.SIGHUP)
	p.d.log.awaitFrom(t, mark, "configuration reloaded", nil)
}
