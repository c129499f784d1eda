package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages names the Debian package of each program that the world is made
// of.
var packages = map[string]string{
	"krb5kdc":      "krb5-kdc",
	"kdb5_util":    "krb5-kdc",
	"kadmin.local": "krb5-admin-server",
	"kinit":        "krb5-user",
	"kvno":         "krb5-user",
	"klist":        "krb5-user",
	"slapd":        "slapd",
	"slapadd":      "slapd",
	"ldapsearch":   "ldap-utils",
	"ldapadd":      "ldap-utils",
	"samba":        "samba-ad-dc samba-ad-provision",
	"samba-tool":   "samba-ad-dc samba-ad-provision",
	"ldbmodify":    "ldb-tools",
	"gcc":          "gcc",
	"fetchmail":    "fetchmail",
	"mpop":         "mpop",
	"getmail":      "getmail6",
	"curl":         "curl",
	"gsasl":        "gsasl",
	"openssl":      "openssl",
	"socat":        "socat",
	"python3":      "python3",
	"perl":         "perl",
	"faketime":     "faketime",

	"dovecot":               "dovecot-core",
	"/usr/lib/dovecot/pop3": "dovecot-pop3d",
	"/usr/lib/dovecot/imap": "dovecot-imapd",

	"/usr/lib/cyrus/bin/master": "cyrus-common",
	"saslpasswd2":               "sasl2-bin",

	"/usr/lib/cyrus/bin/pop3test": "cyrus-clients libsasl2-modules-gssapi-mit",
}

// Need returns the path of a program, looking in the system's directories
// only and in the sbin ones as well, which users seldom have in PATH. A
// program that is not there fails the test with the command that installs it.
func Need(t TB, program string) string {
	t.Helper()
	if path := find(program); path != "" {
		return path
	}
	t.Fatalf("testenv: %s is not installed; run: %s", program, installLine(program))
	return ""
}

// find returns the path of a program, or "". PATH comes last: a Python of the
// user's own in front of the system's would lack what the tests import.
func find(program string) string {
	for _, dir := range []string{"/usr/bin", "/bin", "/usr/sbin", "/sbin"} {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return ""
	}
	return path
}

// installLine is the command that installs every one of the programs.
func installLine(programs ...string) string {
	names := make([]string, 0, len(programs))
	for _, program := range programs {
		name := packages[program]
		if name == "" {
			name = program
		}
		names = append(names, name)
	}
	return "apt-get install --no-install-recommends " + strings.Join(names, " ")
}
