package krb5

import (
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"kpopd/testenv"
)

// tokenGroups asks the directory for the groups of a user, nested ones too
// ([MS-ADTS] §3.1.1.4.5.19), and for its SID.
func tokenGroups(t *testing.T, s *testenv.Samba, dn string) (user sid, groups []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, testenv.Need(t, "ldapsearch"), "-x", "-LLL", "-o", "ldif-wrap=no", "-H", s.TLSURL,
		"-D", testenv.SambaServiceDN, "-w", testenv.SambaServicePassword, "-s", "base", "-b", dn, "(objectClass=*)", "objectSid", "tokenGroups")
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+s.CA.File(t), "LDAPTLS_REQCERT=hard")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ldapsearch: %v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":: ")
		b, err := base64.StdEncoding.DecodeString(value)
		if !ok || err != nil {
			continue
		}
		r := ndrReader{b: b}
		switch s := r.sid(); {
		case r.err != nil:
			t.Fatal(r.err)
		case name == "objectSid":
			user = s
		case !strings.HasPrefix(string(s), "S-1-5-32-"): // each machine adds its own groups
			groups = append(groups, string(s))
		}
	}
	return user, groups
}

// Tickets of Samba's KDC say what its directory says.
func TestSambaPAC(t *testing.T) {
	s, program := testenv.StartSamba(t), testenv.Sendauth(t)
	server := serveKPOP(t, &Acceptor{Keys: keytabAt(t, s.Keytab), Replay: new(MemoryReplay), PAC: PACRequire})
	dn := s.AddUser(t, "gina", "userPrincipalName: gina.green@example.test")
	inner := s.AddGroup(t, "pac-inner", dn)
	const global, local, universal, list = "-2147483646", "-2147483644", "-2147483640", "2"
	for name, kinds := range map[string][]string{"pac-global": {global}, "pac-local": {universal, local}, "pac-universal": {universal}, "pac-list": {list}} {
		group := s.AddGroup(t, name, dn)
		for _, kind := range kinds { // not every change goes at once
			s.Modify(t, "dn: "+group+"\nchangetype: modify\nreplace: groupType\ngroupType: "+kind+"\n")
		}
	}
	s.AddGroup(t, "pac-outer", inner)
	for user, want := range map[string]struct{ dn, upn string }{
		"alice": {"CN=Alice Able," + testenv.SambaPeopleDN, "alice.able@example.test"},
		"bob":   {"CN=Bob Baker," + testenv.SambaPeopleDN, "bob@ad.example.test"},
		"gina":  {dn, "gina.green@example.test"},
	} {
		r := s.RunSendauth(t, program, s.Kinit(t, user), server.addr, "pop/localhost", "QUIT\n", "-mutual")
		var v kpopVerdict
		select {
		case v = <-server.verdicts:
		case <-time.After(time.Minute):
			t.Fatalf("%s: no session: %v", user, r)
		}
		if v.err != nil || v.id.User != user || r.Code != 0 {
			t.Fatalf("%s: %+v, %v\n%v", user, v.id, v.err, r)
		}
		sid, groups := tokenGroups(t, s, want.dn)
		wantAttrs(t, v.id, map[string]string{attrSID: string(sid), attrUPN: want.upn, attrAccount: user})
		got := slices.DeleteFunc(v.id.Groups, func(g string) bool { return g == "S-1-18-1" }) // proven by the KDC itself
		slices.Sort(got)
		slices.Sort(groups)
		if len(groups) < 2 || !slices.Equal(got, groups) {
			t.Errorf("groups of %s: %q, want %q", user, got, groups)
		}
	}
}
