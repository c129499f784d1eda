package main

import (
	"fmt"
	"strings"
	"testing"

	"kpopd/testenv"
)

// sambaBlock is what example.hcl recommends for Active Directory: whatever name
// somebody uses, the maildrop is that of his sAMAccountName.
const sambaBlock = `authenticator "ldap" "ad" {
  urls               = ["%[1]s"]
  ca_file            = "%[2]s"
  bind_dn            = "` + testenv.SambaServiceDN + `"
  bind_password_file = "ldap.secret"
  base_dn            = "` + testenv.SambaBaseDN + `"
  filter             = "(&(objectCategory=person)(objectClass=user)(|(sAMAccountName=${trimsuffix(lower(regex("^(?i:EXAMPLE\\\\)?([^\\\\]*)$", user)[0]), "@ad.example.test")})(userPrincipalName=${user})(mail=${user})(proxyAddresses=smtp:${user})))"
  lookup_filter      = "(&(objectCategory=person)(objectClass=user)(sAMAccountName=${trimsuffix(principal, "@AD.EXAMPLE.TEST")}))"
  attributes         = ["sAMAccountName"]
  nested_groups      = true
  timeout            = "20s"
}`

const sambaRules = `account {
  when     = contains(groups, "CN=pop-users,OU=groups,DC=ad,DC=example,DC=test")
  maildrop = lower(attr.sAMAccountName)
}
account {
  maildrop = ""
}
`

// startSamba serves the site to the people of a domain controller.
func (s *site) startSamba(t testing.TB, ad *testenv.Samba) *daemon {
	t.Helper()
	s.Keytab = ad.Keytab
	s.write(t, "ldap.secret", testenv.SambaServicePassword)
	s.write(t, "ad.pem", string(ad.CA.PEM))
	return s.startEdited(t, `, "APOP"`, "", `"EXAMPLE.TEST", "PARTNER.TEST"`, `"`+testenv.SambaRealm+`"`,
		"authenticator \"file\" \"users\" {\n  path = \""+s.Dir+"/users\"\n}", fmt.Sprintf(sambaBlock, ad.TLSURL, "ad.pem"),
		"account {\n  when     = realm == \"PARTNER.TEST\"\n  maildrop = \"partner/${lower(split(\"@\", user)[0])}\"\n}", sambaRules)
}

// curlAD lists a maildrop by a password, or with an empty name by the tickets
// of a cache.
func (s *site) curlAD(t testing.TB, d *daemon, ad *testenv.Samba, cache, user, password string) clientRun {
	t.Helper()
	mechanism := "AUTH=PLAIN"
	if cache != "" {
		mechanism = "AUTH=GSSAPI"
	}
	return runClient(t, ad.Env(cache), "", "curl", "-sS", "-m", "50", "--ssl-reqd", "--cacert", s.CA, "--login-options", mechanism,
		"-u", user+":"+password, "pop3://localhost:"+d.port(t, "pop3")+"/")
}

// TestSamba: each name of somebody and his ticket open one maildrop.
func TestSamba(t *testing.T) {
	t.Parallel()
	ad := testenv.StartSamba(t)
	s := newSite(t)
	d := s.startSamba(t, ad)
	texts := s.deliver(t, "alice", 3)
	for _, user := range []string{"alice", "ALICE", `EXAMPLE\alice`, `example\Alice`, "alice@ad.example.test", "alice.able@example.test",
		"Alice.Able@example.test", "alice@example.test", "a.able@example.test"} {
		mark := d.log.mark()
		s.curlAD(t, d, ad, "", user, ad.Password("alice")).exits(t, 0).says(t, "3 ")
		d.loggedIn(t, mark, "PLAIN", "alice")
	}
	for _, cache := range []string{ad.Kinit(t, "alice"), ad.Enterprise(t, "ALICE@ad.example.test", "alice", "-C"), ad.Enterprise(t, "alice.able@example.test", "alice", "-C")} {
		mark := d.log.mark()
		s.curlAD(t, d, ad, cache, "", "").exits(t, 0).says(t, "3 ")
		d.loggedIn(t, mark, "GSSAPI", "alice")
	}
	for user, reason := range map[string]string{
		"disabled": "account-disabled", "expired": "account-expired", "locked": "account-locked", "mustchange": "password-must-change",
		`OTHER\alice`: "unknown-user", "kpopd": "unacceptable-maildrop",
	} {
		mark := d.log.mark()
		if r := s.curlAD(t, d, ad, "", user, ad.Password(user)); r.status == 0 {
			t.Errorf("%s is let in\n%s", user, r)
		}
		d.refused(t, mark, reason)
	}
	cache := ad.Kinit(t, "alice")
	for _, server := range []string{"proto POP3 auth gssapi port " + d.port(t, "pop3"), d.kpopServer()} {
		f := s.newFetchmail(t, cache, server, "user alice "+viaTLS)
		f.env = append(ad.Env(cache), "HOME="+f.dir, "FETCHMAILHOME="+f.dir)
		f.collects(t, texts)
		texts = s.deliver(t, "alice", 2)
	}
	d.stop(t)
	for _, password := range []string{ad.Password("alice"), testenv.SambaServicePassword} {
		if strings.Contains(d.log.String(), password) {
			t.Errorf("a password is in the log:\n%s", d.log)
		}
	}
}

// TestSambaTwins: a name that is two people's opens neither's maildrop, and
// nobody gets another's by a name that he may choose. That a user principal name
// is another's account in the domain, Samba itself forbids; that it is another's
// address, or an address another's account, it does not.
func TestSambaTwins(t *testing.T) {
	t.Parallel()
	ad := testenv.StartSamba(t)
	s := newSite(t)
	const victim, mallory = "victim", "mallory"
	ad.AddGroup(t, "twins", ad.AddUser(t, victim, "mail: v.victim@example.test", "proxyAddresses: smtp:shared@example.test"),
		ad.AddUser(t, mallory, "userPrincipalName: v.victim@example.test", "mail: victim@ad.example.test", "proxyAddresses: SMTP:shared@example.test"))
	member := "dn: CN=pop-users," + testenv.SambaGroupsDN + "\nchangetype: modify\n%s: member\nmember: CN=twins," + testenv.SambaGroupsDN + "\n"
	ad.Modify(t, fmt.Sprintf(member, "add"))
	d := s.startSamba(t, ad)
	for _, user := range []string{victim, mallory} {
		mark := d.log.mark()
		s.curlAD(t, d, ad, "", user, ad.Password(user)).exits(t, 0)
		d.loggedIn(t, mark, "PLAIN", user)
		for _, name := range []string{"victim@ad.example.test", "v.victim@example.test", "shared@example.test"} {
			mark := d.log.mark()
			if r := s.curlAD(t, d, ad, "", name, ad.Password(user)); r.status == 0 {
				t.Errorf("%s is let in by %s's password\n%s", name, user, r)
			}
			d.refused(t, mark, "ambiguous-user")
		}
	}
	mark := d.log.mark()
	s.curlAD(t, d, ad, ad.Enterprise(t, "v.victim@example.test", mallory, "-C"), "", "").exits(t, 0)
	d.loggedIn(t, mark, "GSSAPI", mallory)
	mark = d.log.mark()
	if r := s.curlAD(t, d, ad, ad.Enterprise(t, "v.victim@example.test", mallory), "", ""); r.status == 0 {
		t.Errorf("a ticket of a name that is two people's\n%s", r)
	}
	d.refused(t, mark, "unacceptable-maildrop")
	d.stop(t)
}
