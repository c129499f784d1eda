package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"kpopd/testenv"
)

// sambaRID returns the number of an account or group in its domain, and the
// domain's SID: the last and the other four of five sub-authorities.
func sambaRID(t *testing.T, ad *testenv.Samba, name string) (domain string, rid uint32) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, testenv.Need(t, "ldapsearch"), "-x", "-LLL", "-o", "ldif-wrap=no", "-H", ad.TLSURL,
		"-D", testenv.SambaServiceDN, "-w", testenv.SambaServicePassword, "-b", testenv.SambaBaseDN, "(sAMAccountName="+name+")", "objectSid")
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+ad.CA.File(t), "LDAPTLS_REQCERT=hard")
	out, err := cmd.CombinedOutput()
	_, value, ok := strings.Cut(string(out), "objectSid:: ")
	value, _, _ = strings.Cut(value, "\n")
	b, decodeErr := base64.StdEncoding.DecodeString(value)
	if err != nil || !ok || decodeErr != nil || len(b) != 28 {
		t.Fatalf("no SID of %s: %v, %v: %s", name, err, decodeErr, out)
	}
	n := func(i int) uint32 { return binary.LittleEndian.Uint32(b[8+4*i:]) }
	return fmt.Sprintf("S-1-5-%d-%d-%d-%d", n(0), n(1), n(2), n(3)), n(4)
}

// TestPAC: a ticket alone says which maildrop is whose, without a directory.
func TestPAC(t *testing.T) {
	t.Parallel()
	ad := testenv.StartSamba(t)
	s := newSite(t)
	s.Keytab = ad.Keytab
	domain, users := sambaRID(t, ad, "pop-users")
	_, alice := sambaRID(t, ad, "alice")
	d := s.startEdited(t, `realms = ["EXAMPLE.TEST", "PARTNER.TEST"]`, "realms = [\""+testenv.SambaRealm+"\"]\n  pac = \"require\"",
		"account {\n  when     = realm == \"PARTNER.TEST\"\n  maildrop = \"partner/${lower(split(\"@\", user)[0])}\"\n}",
		fmt.Sprintf("account {\n  when = contains(groups, \"%s-%d\")\n  maildrop = attr.sid\n}\naccount {\n  maildrop = \"\"\n}\n", domain, users))
	box := fmt.Sprintf("%s-%d", domain, alice)
	s.deliver(t, box, 2)
	cache := ad.Kinit(t, "alice")
	mark := d.log.mark()
	s.curlAD(t, d, ad, cache, "", "").exits(t, 0).says(t, "2 ")
	d.loggedIn(t, mark, "GSSAPI", box)
	mark = d.log.mark()
	r := ad.RunSendauth(t, testenv.Sendauth(t), cache, d.addrs["kpop"], "pop/localhost", "USER alice\r\nPASS "+cache+"\r\nSTAT\r\nQUIT\r\n", "-mutual")
	if !strings.Contains(r.Stdout, "+OK 2 ") {
		t.Errorf("KPOP: %v", r)
	}
	d.loggedIn(t, mark, "KPOP", box)
	mark = d.log.mark()
	if r := s.curlAD(t, d, ad, ad.Kinit(t, "kpopd"), "", ""); r.status == 0 {
		t.Errorf("who is in no group is let in\n%s", r)
	}
	d.refused(t, mark, "unacceptable-maildrop")
	d.stop(t)
}

// TestPACMissing: MIT's tickets have no groups, and so nobody is in one.
func TestPACMissing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	d := s.startEdited(t, `realms = ["EXAMPLE.TEST", "PARTNER.TEST"]`, `pac = "require"`,
		"account {\n  when     = realm == \"PARTNER.TEST\"", "account {\n  when     = contains(groups, \"S-1-5-21-1-2-3-513\") || attr.sid != \"\"")
	s.deliver(t, "alice", 1)
	mark := d.log.mark()
	r := s.world.RunSendauth(t, testenv.Sendauth(t), s.world.Kinit(t, "alice"), d.addrs["kpop"], "pop/localhost", "USER alice\r\nPASS x\r\nSTAT\r\nQUIT\r\n")
	if !strings.Contains(r.Stdout, "+OK 1 ") {
		t.Errorf("KPOP: %v", r)
	}
	d.loggedIn(t, mark, "KPOP", "alice")
	d.stop(t)
}
