hostname = "pop.example.com"

listener "pop3" {
  address  = "127.0.0.1:110"
  protocol = "pop3"
  tls      = "off"
}

maildrop "mbox" {
  path      = "/srv/mail/${maildrop}"
  save_crlf = true
}
