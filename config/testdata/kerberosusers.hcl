hostname = "pop.corp.example"

authenticator "kerberos" "nokeytab" {
  realm = "CORP.EXAMPLE"
}

authenticator "kerberos" "values" {
  realm             = "corp/example"
  keytab            = "/etc/kpopd/krb5.keytab"
  timeout           = "1ms"
  cache             = "2h"
  cache_negative    = 60
  lockout_threshold = 1
  lockout_window    = "1s"
  kdc               = "kdc.corp.example"
}

authenticator "kerberos" "nowhere" {
  keytab = "/etc/kpopd/krb5.keytab"
}

authenticator "ldap" "both" {
  urls               = ["ldaps://dc1.corp.example"]
  base_dn            = "dc=corp,dc=example"
  filter             = "(uid=${user})"
  bind_keytab        = "/etc/kpopd/ldap.keytab"
  bind_dn            = "cn=kpopd,dc=corp,dc=example"
  bind_password_file = "/etc/kpopd/ldap.secret"
}

authenticator "ldap" "without" {
  urls           = ["ldaps://dc1.corp.example"]
  base_dn        = "dc=corp,dc=example"
  filter         = "(uid=${user})"
  bind_principal = "kpopd@CORP.EXAMPLE"
  krb5_conf      = "/etc/krb5.conf"
}

authenticator "ldap" "socket" {
  urls        = ["ldapi://%2Frun%2Fslapd%2Fldapi"]
  base_dn     = "dc=corp,dc=example"
  filter      = "(uid=${user})"
  bind_keytab = "/etc/kpopd/ldap.keytab"
}

tls {
  certificate {
    cert_file = "/etc/kpopd/tls.crt"
    key_file  = "/etc/kpopd/tls.key"
  }
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
