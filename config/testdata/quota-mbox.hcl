hostname = "pop.example.com"
tls {
  certificate {
    cert_file = "tls.crt"
    key_file  = "tls.key"
  }
}
account {
  maildrop       = user
  quota          = "1GiB"
  quota_messages = 100
}
maildrop "mbox" {
  path = "/var/mail/${maildrop}"
}
