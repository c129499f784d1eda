hostname = "pop.example.com"

listener "pop3" {
  address  = "127.0.0.1:110"
  protocol = "pop3"
  tls      = "off"
}

maildrop "maildir" {
  path      = "/srv/mail/${maildrop}"
  save_crlf = "true"
}
