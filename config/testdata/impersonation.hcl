hostname = "pop.corp.example"

listener "pop3" {
  address  = ":110"
  protocol = "pop3"
  tls      = "off"
}

account {
  when          = user == "webmail"
  maildrop      = "webmail"
  allow_authzid = true
}

account {
  when               = user == "archiver"
  maildrop           = "archiver"
  allow_authzid_from = ["unix"]
}

account {
  maildrop           = user
  allow_authzid      = ["bob"]
  allow_authzid_from = ["192.0.2.0/24", "socket"]
}

account {
  maildrop           = user
  allow_authzid      = ["bob"]
  allow_authzid_from = ["192.0.2.1/24"]
}

account {
  maildrop           = user
  allow_authzid      = ["bob"]
  allow_authzid_from = ["unix", "unix"]
}

account {
  maildrop           = user
  allow_authzid      = ["bob"]
  allow_authzid_from = []
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}/Maildir"
}

audit {
  file = "/var/log/kpopd/audit.log"
}
