package testenv

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"unicode/utf16"
)

// Modify applies LDIF change records (RFC 2849) to the domain, with all rights.
// A line such as "password: secret" gives the entry that password.
func (s *Samba) Modify(t TB, ldif string) {
	t.Helper()
	s.do(t, func(ctx context.Context) error { return s.modify(ctx, ldif) })
}

// AddUser makes a user with the password that [Clients.Password] knows and with
// further lines of LDIF, such as "mail: x@example.test", and returns the DN.
func (s *Samba) AddUser(t TB, name string, lines ...string) string {
	t.Helper()
	dn := "CN=" + name + "," + SambaPeopleDN
	s.add(t, dn, append([]string{"objectClass: user", "sAMAccountName: " + name, "userAccountControl: 512",
		"password: " + s.Password(name)}, lines...))
	return dn
}

// AddGroup makes a group of the members whose DNs are given and returns its DN.
func (s *Samba) AddGroup(t TB, name string, members ...string) string {
	t.Helper()
	dn := "CN=" + name + "," + SambaGroupsDN
	lines := []string{"objectClass: group", "sAMAccountName: " + name}
	for _, member := range members {
		lines = append(lines, "member: "+member)
	}
	s.add(t, dn, lines)
	return dn
}

// add makes an entry, which goes with the test, so that it can run again.
func (s *Samba) add(t TB, dn string, lines []string) {
	t.Helper()
	s.Modify(t, "dn: "+dn+"\nchangetype: add\n"+strings.Join(lines, "\n")+"\n")
	t.Cleanup(func() { s.Modify(t, "dn: "+dn+"\nchangetype: delete\n") })
}

// Enterprise is [Clients.Kinit] by a user principal name, which need not be of
// the realm (RFC 6806 §5), with the password of the user that it names. With
// "-C" among args the ticket is the user's, else that name's.
func (s *Samba) Enterprise(t TB, upn, user string, args ...string) string {
	t.Helper()
	cache := s.path(".ccache")
	s.do(t, func(ctx context.Context) error {
		return s.kinit(ctx, cache, upn, s.Password(user), append(args, "-E")...)
	})
	return cache
}

// ExportKeytab returns a new keytab, of mode 0600, with the keys of the
// principals, users' or services'.
func (s *Samba) ExportKeytab(t TB, principals ...string) string {
	t.Helper()
	file := s.path(".keytab")
	s.do(t, func(ctx context.Context) error { return s.exportKeytab(ctx, file, principals...) })
	return file
}

// do runs op, when the test cleans up too.
func (s *Samba) do(t TB, op func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := op(ctx); err != nil {
		t.Fatalf("testenv: %v", err)
	}
}

func (s *Samba) exportKeytab(ctx context.Context, file string, principals ...string) error {
	for _, principal := range principals {
		_, err := output(ctx, os.Environ(), "", find("samba-tool"), "domain", "exportkeytab", file,
			"--principal="+principal, "--configfile="+s.configFile())
		if err != nil {
			return err
		}
	}
	return os.Chmod(file, 0o600) // which no keys at all left unmade
}

// modify changes entries behind the server's back, but by its own modules.
func (s *Samba) modify(ctx context.Context, ldif string, flags ...string) error {
	argv := append([]string{find("ldbmodify"), "-H", s.dcDir() + "/private/sam.ldb", "--configfile=" + s.configFile()}, flags...)
	_, err := output(ctx, os.Environ(), withPasswords(ldif), argv...)
	return err
}

// withPasswords replaces lines with a password by what Active Directory takes
// for one: quoted, in UTF-16, little-endian (MS-ADTS §3.1.1.3.1.5.1).
func withPasswords(ldif string) string {
	var b strings.Builder
	for line := range strings.Lines(ldif) {
		password, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "password: ")
		if !ok {
			b.WriteString(line)
			continue
		}
		var wide bytes.Buffer
		_ = binary.Write(&wide, binary.LittleEndian, utf16.Encode([]rune(`"`+password+`"`))) // to memory
		fmt.Fprintf(&b, "unicodePwd:: %s\n", base64.StdEncoding.EncodeToString(wide.Bytes()))
	}
	return b.String()
}
