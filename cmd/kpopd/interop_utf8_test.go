package main

import (
	"context"
	"strings"
	"testing"
)

// utf8Script is a session of Python's poplib in UTF-8 mode, one in several
// languages, and one without either, whose messages Python's email reads: port,
// user, password.
const utf8Script = `
import email, email.policy, poplib, sys
port, user, password = sys.argv[1:]

def login(p):
    p.user(user)
    p.pass_(password)
    sizes = [int(l.split()[1]) for l in p.list()[1]]
    uids = [l.split()[1] for l in p.uidl()[1]]
    texts = [p.retr(n + 1) for n in range(len(sizes))]
    assert [octets for _, _, octets in texts] == sizes, (texts, sizes)
    return sizes, uids, [email.message_from_bytes(b'\r\n'.join(lines), policy=email.policy.SMTPUTF8) for _, lines, _ in texts]

p = poplib.POP3('localhost', int(port), timeout=50)
assert 'LANG' in p.capa() and p.capa()['UTF8'] == ['USER'], p.capa()
p.utf8()
sizes, uids, messages = login(p)
assert str(messages[0]['From']) == 'Jörg <jörg@bücher.example>', messages[0]['From']
assert messages[0]['Subject'] == 'Grüße aus Köln', messages[0]['Subject']
try:
    p.utf8()
    raise AssertionError('UTF8 after login')
except poplib.error_proto as e:
    assert '-ERR ' in str(e), e
p.quit()

p = poplib.POP3('localhost', int(port), timeout=50)
again, same, messages = login(p)
assert again == sizes and same == uids, (again, sizes, same, uids)
sender = messages[0]['From'].addresses[0]
assert sender.display_name == 'Jörg' and sender.addr_spec == 'invalid@internationalized-address.invalid', sender
assert messages[0]['Subject'] == 'Grüße aus Köln', messages[0]['Subject']
assert all(l.isascii() for l in p.top(1, 0)[1])
assert messages[1]['Subject'] == 'message 0', messages[1]['Subject']
p.quit()

p = poplib.POP3('localhost', int(port), timeout=50)
languages = [l.decode().split(' ', 1) for l in p._longcmd('LANG')[1]]
assert ['ja', '日本語'] in languages and len(languages) == 5, languages
failures = set()
for tag, _ in languages:
    if tag == 'es':
        continue # five refused logins end the connection
    assert p._shortcmd('LANG ' + tag).decode().startswith('+OK ' + tag + ' '), tag
    p.user(user)
    try:
        p.pass_('wrong')
        raise AssertionError('a wrong password')
    except poplib.error_proto as e:
        code, _, words = e.args[0].decode().partition('] ')
        assert code == '-ERR [AUTH', e
        failures.add(words)
assert len(failures) == 4 and 'Authentication failed' in failures, failures
assert p._shortcmd('LANG *').decode().startswith('+OK ja '), 'LANG *'
p.close()
print('done')
`

// TestUTF8 has a stock client in and out of UTF-8 mode.
func TestUTF8(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.write(t, "users", "müller:{PLAIN}größe\n")
	d := s.startEdited(t, "listener \"clear\" {", "listener \"clear\" {\n  utf8_messages = \"surrogate\"\n  language = \"ja\"")
	text := strings.Repeat("Received: from a.example.test by b.example.test with UTF8SMTPS id 1;\n\tThu, 1 Oct 2026 12:00:00 +0000\n", 3) +
		"From: Jörg <jörg@bücher.example>\nTo: müller@example.test\nSubject: Grüße aus Köln\n\nüber\n.\n"
	if err := s.store().Deliver(context.Background(), "müller", strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	s.deliver(t, "müller", 1)
	runClient(t, s.world.Env(""), "", "python3", script(t, "utf8.py", utf8Script), d.port(t, "clear"), "müller", "größe").exits(t, 0).says(t, "done")
	d.stop(t)
}
