hostname       = "pop.example.com"
sweep_interval = "1h"
tls {
  certificate {
    cert_file = "tls.crt"
    key_file  = "tls.key"
  }
}
account {
  maildrop    = user
  login_delay = "1m"
  deletion    = "quarantine"
  mark_seen   = true
}
retention {
  maildrops = ["archive"]
  expire    = "never"
}
retention {
  expire = "30d"
}
maildrop "mbox" {
  path = "/var/mail/${maildrop}"
}
