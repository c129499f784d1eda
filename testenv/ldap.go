package testenv

import (
	"context"
)

// An LDAP is a running OpenLDAP server that holds dc=example,dc=test.
// Its entries are those of image/directory.ldif: alice, bob, carol, dave,
// whose mailbox is disabled, and a user whose uid wants escaping,
// "o'brien (test)*"; the groups pop-users and staff; and the service entry
// that may search, also by a ticket of pop/localhost. Users can bind and read themselves.
type LDAP struct {
	// URL is for plain connections, which may use StartTLS; TLSURL starts
	// with TLS. Both name 127.0.0.1, and the world's CA signed for it.
	URL, TLSURL string
	// Socket is an ldapi URL on which SASL EXTERNAL makes the test's user
	// the directory's administrator; empty with containers.
	Socket string
}

// Names and passwords of the directory.
const (
	BaseDN          = "dc=example,dc=test"
	PeopleDN        = "ou=people," + BaseDN
	ServiceDN       = "cn=kpopd,ou=services," + BaseDN
	ServicePassword = "kpopd-password"
	AdminDN         = "cn=admin," + BaseDN
	AdminPassword   = "admin-password"
)

// LDAP returns the world's directory server, which starts at the first call.
func (w *World) LDAP(t TB) *LDAP {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w.ldapMu.Lock()
	defer w.ldapMu.Unlock()
	if w.ldap != nil {
		return w.ldap
	}
	cert, err := w.CA.Server()
	if err == nil {
		var keytab string
		if keytab, err = w.host.admin(ctx, "", "base64", "-w0", w.host.kdcDir()+"/ldap.keytab"); err == nil {
			w.ldap, err = w.host.startLDAP(ctx, ldapEnv(w.CA.PEM, cert, keytab))
		}
	}
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return w.ldap
}

// ldapEnv hands a certificate and a keytab in base64 to image/ldap.sh.
func ldapEnv(ca []byte, cert Certificate, keytab string) []string {
	return append(tlsEnv(ca, cert), "KPOPD_LDAP_KEYTAB="+keytab)
}

// tlsEnv hands a certificate to a script of image.
func tlsEnv(ca []byte, cert Certificate) []string {
	return []string{
		"KPOPD_TLS_CA=" + string(ca),
		"KPOPD_TLS_CERT=" + string(cert.Cert),
		"KPOPD_TLS_KEY=" + string(cert.Key),
	}
}
