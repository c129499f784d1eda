hostname = "pop.example.com"

listener "kpop" {
  address    = ":1109"
  protocol   = "kpop"
  tls        = "off"
  mechanisms = ["EXTERNAL", "GSSAPI"]
}

kerberos {
  keytab = "/etc/krb5.keytab"
}

authenticator "ldap" "corp" {
  urls       = ["ldaps://dc.corp.example"]
  base_dn    = "dc=corp,dc=example"
  filter     = "(uid=${user})"
  attributes = ["sAMAccountName"]
}

account {
  when     = attr.sid != ""
  maildrop = lower(attr.samaccountname)
}

account {
  when     = attr.mailbox != ""
  maildrop = user
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
