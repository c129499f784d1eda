hostname = "pop.example.com"

tls {
  certificate {
    cert_file = "tls.crt"
    key_file  = "tls.key"
  }
}

maildrop "maildir" {
  path              = "/srv/mail/${maildrop}"
  uidl_change_limit = "101%"
}
