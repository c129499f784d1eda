package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"kpopd/testenv"
)

// startSDPS serves a site whose listener "clear" speaks SDPS, with mail for
// three users of the host bob. It returns what each should get, by recipient,
// as "sender recipient subject".
func startSDPS(t *testing.T) (*site, *daemon, map[string][]string) {
	t.Helper()
	s := newSite(t)
	want := map[string][]string{}
	for i, m := range []struct{ sender, recipient string }{
		{"a@example.test", "fred@bob.test"}, {"", "wilma@bob.test"}, {"b@example.test", "Fred@bob.test"}, {"c@example.test", "bob-fred@bob.test"},
	} {
		text := fmt.Sprintf("Return-Path: <%s>\nDelivered-To: %s\nReceived: from x by y\nFrom: x@example.test\nTo: list@example.test\nSubject: m%d\n\nbody\n",
			m.sender, m.recipient, i)
		if err := s.store().Deliver(context.Background(), "bob", strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		bare := strings.TrimPrefix(m.recipient, "bob-")
		key := strings.ToLower(bare)
		want[key] = append(want[key], fmt.Sprintf("%s %s m%d", m.sender, bare, i))
	}
	d := s.startEdited(t, `  login_without_tls = "any"
}`, `  login_without_tls = "any"
  sdps              = true
}`)
	return s, d, want
}

// TestFetchmailSDPS collects by fetchmail's protocol of that name, as one user
// of the host and then as the host.
func TestFetchmailSDPS(t *testing.T) {
	t.Parallel()
	s, d, want := startSDPS(t)
	collect := func(user string, want ...string) {
		t.Helper()
		f := s.newFetchmail(t, "", "proto SDPS auth password port "+d.port(t, "clear")+" localdomains bob.test", "")
		got := f.dir + "/got"
		deliver := script(t, "deliver.sh", fmt.Sprintf("echo \"$1 $2 $(grep -i ^Subject: | cut -d' ' -f2)\" >>%s\n", got))
		rc := fmt.Sprintf("set invisible\npoll localhost proto SDPS auth password port %s no dns timeout 50 localdomains bob.test\n"+
			"  user \"%s\" password '%s' to fred wilma root here fetchall sslproto '' no rewrite\n"+
			"  mda \"/bin/sh %s %%F %%T\"\n", d.port(t, "clear"), user, bobPassword, deliver)
		if err := os.WriteFile(f.dir+"/rc", []byte(rc), 0o600); err != nil {
			t.Fatal(err)
		}
		r := f.poll(t).exits(t, 0)
		r.says(t, "*ENV 1")
		text, err := os.ReadFile(got)
		if err != nil {
			t.Fatalf("%v\n%s", err, r)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if !slices.Equal(lines, want) {
			t.Errorf("%s collected %q, want %q\n%s", user, lines, want, r)
		}
	}
	collect("fred@bob", want["fred@bob.test"]...)
	if n := len(s.messages(t, "bob")); n != 1 {
		t.Errorf("%d messages are left, want one of wilma's", n)
	}
	collect("bob", "<>"+want["wilma@bob.test"][0]) // as fetchmail writes the null sender
	d.stop(t)
}

// getmailScript tells what getmail's retriever for SDPS makes of each message:
// port, user, password. getmail's own destinations take no recipient of SDPS.
const getmailScript = `
import sys
from email import message_from_bytes
from getmailcore.retrievers import MultidropSDPSRetriever
port, user, password = sys.argv[1:]
r = MultidropSDPSRetriever(server='127.0.0.1', port=int(port), username=user, password=password, timeout=50, getmaildir=sys.path[0])
r.checkconf()
r.initialize({'read_all': True, 'delete': False, 'message_log': None, 'verbose': 0, 'to_oldmail_on_each_mail': False, 'use_netrc': False, 'netrc_file': None})
text = lambda b: b.decode() if isinstance(b, bytes) else b
for msgid in r:
    m = r.getmsg(msgid)
    print('got', text(m.sender), text(m.recipient), m.content()['Subject'])
r.quit()
`

// TestGetmailSDPS collects by getmail's retriever for SDPS, as the host and as
// its users.
func TestGetmailSDPS(t *testing.T) {
	t.Parallel()
	s, d, want := startSDPS(t)
	testenv.Need(t, "getmail")
	file := script(t, "getmail.py", getmailScript)
	for user, want := range map[string][]string{
		"wilma+bob": want["wilma@bob.test"],
		"fred@bob":  want["fred@bob.test"],
		"bob":       slices.Concat(want["fred@bob.test"][:1], want["wilma@bob.test"], want["fred@bob.test"][1:]),
	} {
		r := runClient(t, append(s.world.Env(""), "HOME="+t.TempDir()), "", "python3", file, d.port(t, "clear"), user, bobPassword).exits(t, 0)
		var got []string
		for line := range strings.Lines(r.out) {
			if m, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "got "); ok {
				got = append(got, m)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s collected %q, want %q\n%s", user, got, want, r)
		}
	}
	d.stop(t)
}

// TestSDPSOwnMaildrop: where the rules make the maildrop's name of sdps_user,
// that user has it whole, and the host another or none.
func TestSDPSOwnMaildrop(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Extra = `
account {
  when     = sdps_user != ""
  maildrop = "${sdps_host}/${sdps_user}"
}
account {
  when     = listener == "clear"
  maildrop = ""
}
`
	s.deliver(t, "bob/fred", 2) // without a word of the recipient
	d := s.startEdited(t, `  login_without_tls = "any"
}`, `  login_without_tls = "any"
  sdps              = true
  sdps_separators   = "%"
}`)
	c := dial(t, d.addrs["clear"])
	c.login("fred%bob", bobPassword)
	if got := c.ok("STAT"); !strings.HasPrefix(got, "+OK 2 ") {
		t.Errorf("STAT: %s", got)
	}
	if got := c.lines("*ENV 1"); !slices.Equal(got[1:], []string{"localhost", "", "bob@localhost"}) {
		t.Errorf("*ENV: %q", got)
	}
	c.ok("QUIT")
	for _, name := range []string{"bob", "../bob%bob", "a/b%bob", "fred@bob"} {
		c := dial(t, d.addrs["clear"])
		c.line()
		c.ok("USER %s", name)
		if got := c.say("PASS %s", bobPassword); got != "-ERR [AUTH] Authentication failed" {
			t.Errorf("%s: %s", name, got)
		}
	}
	d.stop(t)
}
