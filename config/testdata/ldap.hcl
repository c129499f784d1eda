hostname = "pop.corp.example"

authenticator "ldap" "neither" {
  urls    = ["ldapi://%2Frun%2Fslapd%2Fldapi"]
  base_dn = "dc=corp,dc=example"
}

authenticator "ldap" "both" {
  urls    = ["ldapi:///run/slapd/ldapi"]
  base_dn = "dc=corp,dc=example"
  filter  = "(uid=${user})"
  bind_as = ["uid=${user},dc=corp,dc=example"]
}

authenticator "ldap" "names" {
  urls    = ["ldap://dc1.corp.example"]
  base_dn = "dc=corp,dc=example"
  bind_as = ["cn=everybody,dc=corp,dc=example", "${attr.uid}@corp.example", user, "${user}", "CORP\\${user}"]
}

authenticator "ldap" "list" {
  urls    = ["ldap://dc1.corp.example"]
  base_dn = "dc=corp,dc=example"
  bind_as = "${user}@corp.example"
}

authenticator "ldap" "numbers" {
  urls               = ["ldap://dc1.corp.example"]
  base_dn            = "dc=corp,dc=example"
  filter             = "(uid=${user})"
  attributes         = ["Realm", "mail box", "Fingerprint"]
  disabled_attribute = ""
  timeout            = "10ms"
  pool_size          = 0
  cache              = "2h"
  lockout_threshold  = 1
  lockout_window     = 15
}

authenticator "ldap" "where" {
  urls          = ["ldap://dc1.corp.example"]
  base_dn       = "dc=corp,dc=example"
  filter        = "(&(uid=${user})(host=${address}))"
  lookup_filter = "(&(uid=${user})(mech=${mechanism})(l=${listener}))"
}

authenticator "ldap" "secrets" {
  urls             = ["ldap://dc1.corp.example"]
  base_dn          = "dc=corp,dc=example"
  bind_as          = ["${user}@corp.example"]
  attributes       = ["mail", "KpopdSecret;x-old"]
  secret_attribute = "kpopdSecret"
  scram_iterations = 1000
}

authenticator "ldap" "iterations" {
  urls             = ["ldap://dc1.corp.example"]
  base_dn          = "dc=corp,dc=example"
  filter           = "(uid=${user})"
  scram_iterations = 4096
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
