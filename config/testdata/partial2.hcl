hostname = "pop_example.com"

listener "pop3" {
  protocol = "popp3"
  address  = ":110" ]
}

account {
  maildrop = usr
}

kerberos {
  keytab = "/etc/krb5.keytab"
  realm  = "X"
}
