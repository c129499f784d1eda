hostname = "pop.corp.example"

listener "pop3" {
  address  = ":110"
  protocol = "pop3"
  tls      = "off"
}

kerberos {
  keytab             = "/etc/krb5.keytab"
  auth_to_local      = "DEFAULT"
  auth_to_local_file = ""
}

maildrop "maildir" {
  path = "/srv/mail/${local_user}/${maildrop}"
}
