hostname = "pop.example.com"

listener "pop3" {
  address  = ":110"
  protocol = "pop3"
  tls      = "off"
}

kerberos {
  keytab = "/etc/krb5.keytab"
}

account {
  when     = contains("pop-users", groups)
  maildrop = user
}

account {
  when     = contains(["root"], user) || contains(groups, "pop-users") || contains(split(",", user), "x")
  maildrop = user
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
