hostname = "pop.example.com"
sweep_interval = "59s"
tls {
  certificate {
    cert_file = "tls.crt"
    key_file  = "tls.key"
  }
}
account {
  maildrop    = user
  login_delay = "25h"
}
account {
  maildrop    = user
  login_delay = 600
}
account {
  maildrop    = user
  login_delay = "0s"
}
account {
  maildrop   = user
  deletion   = "quarantined"
  quarantine = "never"
}
account {
  maildrop   = user
  deletion   = "remove"
  quarantine = "3d"
}
retention {
  maildrops = ["[", "/x", "", "a/*", "a/*"]
  expire    = "4000d"
}
retention {
  maildrops = []
  expire    = "30"
}
retention {
  expire = "0d"
}
retention {
  expire = 30
}
retention {
  expire = "720h"
}
retention {
  maildrops = ["late"]
}
maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
