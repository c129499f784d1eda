hostname = "pop.corp.example"

listener "pop3" {
  address  = ":110"
  protocol = "pop3"
  tls      = "off"
}

account {
  when               = user == "webmail"
  maildrop           = "webmail"
  allow_authzid      = true
  allow_authzid_from = ["192.0.2.0/24"]
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}/Maildir"
}
