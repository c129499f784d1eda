hostname = "pop.example.com"
tls {
  certificate {
    cert_file = "tls.crt"
    key_file  = "tls.key"
  }
}
retention {
  expire = "never"
}
retention {
  maildrops = ["late"]
  expire    = "30d"
}
maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
