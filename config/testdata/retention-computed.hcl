hostname       = "pop.example.com"
sweep_interval = "1h"
tls {
  certificate {
    cert_file = "tls.crt"
    key_file  = "tls.key"
  }
}
maildrop "maildir" {
  path = "/srv/mail/${sha256(maildrop)}/${maildrop}"
}
