hostname = "pop.corp.example"

listener "pop3" {
  address  = ":110"
  protocol = "pop3"
  tls      = "off"
}

kerberos {
  keytab = "/etc/krb5.keytab"
}

account {
  when     = local_user != "root"
  maildrop = local_user
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
