package main

import (
	"bufio"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kpopd/auth/krb5"
	"kpopd/testenv"
)

// hostileNames were meant to be something else than names, alice's above all.
var hostileNames = []string{
	"*", "a)(uid=*", "alice)(uid=*", `\2a`, `\61lice`, "alice\x00", "\x00", "x\x00alice", strings.Repeat("a", 10<<10), "../x", "../alice", "./alice", "alice/.",
	"alice/", "/alice", "x/../alice", "..", ".", "", "CN=x,DC=y", "uid=alice,ou=people,dc=example,dc=test", "ali\u0301ce", "\uff41lice", "al\u00adice",
	"\u0430lice", "alice\u200b", "alice ", " alice", "\talice", "\xff\xfe", "alice\xff", "alice\r\n", "${user}", "%u", "~alice", "alice@", "@alice", "alice@EXAMPLE.TEST@",
}

// asAlice are the names among them that SASLprep (RFC 4013) or the end of the
// line makes alice's own: who types them with her password is she.
var asAlice = []string{"\uff41lice", "al\u00adice", "alice\u200b", "alice ", "alice\r\n"}

// hostilePasswords were meant to be something else than wrong.
var hostilePasswords = []string{"", " ", "\x00", alicePassword + "\x00", "\x00" + alicePassword, alicePassword + " ", "s\xf6sam", "\xff", "*", strings.Repeat("x", 10<<10)}

// A hostile site lets people in by every kind of proof, and has mail of alice's
// that is easily known: seven messages.
type hostileSite struct {
	*mintedSite
	oauth  *oauthSite
	client *clientSite
	d      *daemon
}

const alicesMail = "+OK 7 "

func newHostileSite(t *testing.T, directory bool) *hostileSite {
	t.Helper()
	m := newMintedSite(t)
	s := &hostileSite{m, &oauthSite{site: m.site, issuer: testenv.NewIssuer(t, m.world.CA)}, &clientSite{site: m.site}, nil}
	var err error
	if s.client.ca, err = testenv.NewCA(); err != nil {
		t.Fatal(err)
	}
	s.write(t, "clients.pem", string(s.client.ca.PEM))
	s.Extra = unthrottled + s.oauth.block("sso", "") + `authenticator "certificate" "clients" { user_from = ["cn"] }` + "\n"
	if directory {
		s.Extra += s.ldapBlock(t, "", s.world.LDAP(t).TLSURL)
	}
	s.d = s.startEdited(t, `["GSSAPI", "PLAIN", "APOP"]`, `["EXTERNAL", "PLAIN", "APOP", "SCRAM-SHA-256", "SCRAM-SHA-1", "OAUTHBEARER", "XOAUTH2"]`,
		"tls {", "tls {\n  client_ca_file = \"clients.pem\"")
	s.deliver(t, "alice", 7)
	return s
}

// TestHostileNames: no name and no password opens another's maildrop, leads out
// of the store, or stops the server, whatever it is shown to.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	for what, directory := range map[string]bool{"alone": false, "beside a directory": true} {
		t.Run(what, func(t *testing.T) {
			s := newHostileSite(t, directory)
			before := s.files(t)
			for _, name := range hostileNames {
				s.shown(t, name)
				s.proven(t, name)
			}
			for _, password := range hostilePasswords {
				for _, user := range []string{"alice", "bob", "nobody"} {
					s.guessed(t, user, password)
				}
			}
			if after := s.files(t); !slices.Equal(before, after) {
				t.Errorf("files: %q, before %q", after, before)
			}
			c := dial(t, s.d.addrs["clear"])
			c.login("alice", alicePassword)
			if reply := c.ok("STAT"); !strings.HasPrefix(reply, alicesMail) {
				t.Errorf("STAT: %s", reply)
			}
			c.ok("QUIT")
			s.d.stop(t)
			s.d.calm(t)
		})
	}
}

// files are all under the site's directory but the server's own.
func (s *hostileSite) files(t *testing.T) (all []string) {
	err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if d.IsDir() && d.Name() == "state" {
			return filepath.SkipDir
		}
		all = append(all, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// shown shows a name with alice's passwords.
func (s *hostileSite) shown(t *testing.T, name string) {
	t.Helper()
	for _, password := range []string{alicePassword, s.world.Password("alice")} {
		s.guessed(t, name, password)
	}
	for _, first := range []string{"n,,n=" + name, "n,a=" + name + ",n=alice", "n,a=alice,n=" + name} {
		s.refuses(t, name, "AUTH SCRAM-SHA-256 "+base64Of(first+",r=nonce")+"\r\n"+base64Of("c=biws,r=nonce,p=AAAA")+"\r\n")
	}
	s.refuses(t, name, "AUTH PLAIN "+base64Of(name+"\x00bob\x00"+bobPassword)+"\r\n")
	s.refuses(t, name, "AUTH OAUTHBEARER "+bearer(name, s.oauth.issuer.Token(t, map[string]any{"preferred_username": "bob"}))+"\r\n\r\n")
}

// guessed shows a name and a password in every way that takes both.
func (s *hostileSite) guessed(t *testing.T, name, password string) {
	t.Helper()
	s.refuses(t, name, "USER "+name+"\r\nPASS "+password+"\r\n")
	s.refuses(t, name, "AUTH PLAIN "+base64Of("\x00"+name+"\x00"+password)+"\r\n")
	c, err := net.DialTimeout("tcp", s.d.addrs["clear"], 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(60 * time.Second))
	greeting, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	stamp := greeting[strings.Index(greeting, "<") : strings.Index(greeting, ">")+1]
	digest := md5.Sum([]byte(stamp + password))
	fmt.Fprintf(c, "APOP %s %s\r\nSTAT\r\nQUIT\r\n", name, hex.EncodeToString(digest[:]))
	s.mine(t, name, readAll(c))
}

// refuses says something at a listener for clear text, and then STAT.
func (s *hostileSite) refuses(t *testing.T, name, said string) {
	t.Helper()
	answer, err := converse(s.d.addrs["clear"], []byte(said+"STAT\r\nQUIT\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	s.mine(t, name, string(answer))
}

// mine fails the test if somebody who is not alice reads her mail.
func (s *hostileSite) mine(t *testing.T, name, answer string) {
	t.Helper()
	if strings.Contains(answer, alicesMail) && !slices.Contains(asAlice, name) {
		t.Errorf("%.40q reads alice's mail:\n%s", name, answer)
	}
}

// proven has a name that is proven by a token, a certificate or a ticket: then
// nothing makes it alice's.
func (s *hostileSite) proven(t *testing.T, name string) {
	t.Helper()
	if utf8.ValidString(name) {
		token := s.oauth.issuer.Token(t, map[string]any{"preferred_username": name})
		s.notAlice(t, name, "AUTH OAUTHBEARER "+bearer("", token)+"\r\n\r\n")
		s.notAlice(t, name, "AUTH XOAUTH2 "+xoauth(name, token)+"\r\n\r\n")
		if len(name) > 0 && len(name) < 100 {
			config := with(t, s.client.issue(t, testenv.Client{CN: name}, s.client.ca), tls.VersionTLS13)
			c := s.client.showing(t, s.d, "pop3s", config)
			fmt.Fprint(c, "AUTH EXTERNAL =\r\nSTAT\r\nQUIT\r\n")
			s.strange(t, name, readAll(c))
		}
	}
	c := dial(t, s.d.addrs["kpop"])
	who := krb5.Principal{Components: []string{name}, Realm: testenv.Realm}
	if refusal := c.sendauth(s.request(t, who, s.service, krb5.TicketOptions{}, krb5.RequestOptions{})); refusal == nil {
		fmt.Fprint(c, "AUTH EXTERNAL =\r\nSTAT\r\nQUIT\r\n")
		s.strange(t, name, readAll(c))
	}
	c.Close()
}

func (s *hostileSite) notAlice(t *testing.T, name, said string) {
	t.Helper()
	answer, err := converse(s.d.addrs["clear"], []byte(said+"STAT\r\nQUIT\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	s.strange(t, name, string(answer))
}

func (s *hostileSite) strange(t *testing.T, name, answer string) {
	t.Helper()
	if strings.Contains(answer, alicesMail) {
		t.Errorf("%.40q, who is not alice, reads her mail:\n%s", name, answer)
	}
}

func readAll(c net.Conn) string {
	var all strings.Builder
	bufio.NewReader(c).WriteTo(&all)
	return all.String()
}
