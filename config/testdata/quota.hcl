hostname = "pop.example.com"

listener "pop3" {
  address  = "127.0.0.1:110"
  protocol = "pop3"
  tls      = "off"
}

account {
  when           = user == "alice"
  maildrop       = "alice"
  quota          = "10KiB"
  quota_messages = 0
}

account {
  maildrop       = user
  quota          = 1000000
  quota_messages = "many"
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}/Maildir"
}
