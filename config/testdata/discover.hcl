hostname = "pop.corp.example"

authenticator "ldap" "none" {
  base_dn = "dc=corp,dc=example"
  filter  = "(uid=${user})"
}

authenticator "ldap" "two" {
  urls     = ["ldaps://dc1.corp.example"]
  discover = "ldaps://corp.example"
  base_dn  = "dc=corp,dc=example"
  filter   = "(uid=${user})"
}

authenticator "ldap" "site" {
  urls    = ["ldaps://dc1.corp.example"]
  site    = "Berlin"
  base_dn = "dc=corp,dc=example"
  filter  = "(uid=${user})"
}

authenticator "ldap" "clear" {
  discover = "ldap://corp.example"
  starttls = false
  base_dn  = "dc=corp,dc=example"
  filter   = "(uid=${user})"
}

authenticator "ldap" "names" {
  discover = "ldaps://corp.example:636"
  site     = "Berlin.Mitte"
  base_dn  = "dc=corp,dc=example"
  filter   = "(uid=${user})"
}

authenticator "ldap" "domain" {
  discover = "corp.example"
  base_dn  = "dc=corp,dc=example"
  filter   = "(uid=${user})"
}

authenticator "ldap" "good" {
  discover = "ldap://corp.example"
  site     = "Berlin-2"
  base_dn  = "dc=corp,dc=example"
  filter   = "(uid=${user})"
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
