package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// aesTypes are the enctypes a client permits by default here.
const aesTypes = "aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96 aes256-cts-hmac-sha384-192 aes128-cts-hmac-sha256-128"

// writeConfs writes the client configurations of the world.
func (w *World) writeConfs() error {
	w.Krb5Conf = filepath.Join(w.dir, "krb5.conf")
	w.WeakConf = filepath.Join(w.dir, "krb5-weak.conf")
	return errors.Join(
		os.WriteFile(w.Krb5Conf, []byte(w.conf(aesTypes, false)), 0o644),
		os.WriteFile(w.WeakConf, []byte(w.conf("arcfour-hmac "+aesTypes, true)), 0o644))
}

// conf is the krb5.conf of the world's realms.
func (w *World) conf(enctypes string, weak bool) string {
	return w.libdefaults(Realm, enctypes, weak) + fmt.Sprintf(`[realms]
  %[1]s = {
    kdc = %[3]s
  }
  %[2]s = {
    kdc = %[3]s
  }
[domain_realm]
  localhost = %[1]s
  .example.test = %[1]s
  .partner.test = %[2]s
`, Realm, Partner, w.KDC)
}

// libdefaults begins a krb5.conf. Host names are used as the client typed them
// (dns_canonicalize_hostname, rdns), so localhost is a host name like any
// other. TCP only: the world's KDC listens on nothing else. A client that was
// given no cache or keytab finds none.
func (c *Clients) libdefaults(realm, enctypes string, weak bool) string {
	return fmt.Sprintf(`[libdefaults]
  default_realm = %[1]s
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  allow_rc4 = %[3]t
  permitted_enctypes = %[2]s
  default_ccache_name = FILE:%[4]s/none.ccache
  default_keytab_name = FILE:%[4]s/none.keytab
  default_client_keytab_name = FILE:%[4]s/none.keytab
`, realm, enctypes, weak, c.dir)
}
