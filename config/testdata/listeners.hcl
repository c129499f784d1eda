hostname = "pop.example.com"

listener "pop3" {
  address           = ":110"
  protocol          = "pop3"
  login_without_tls = "any"
  sdps_separators   = "@"
}

listener "pop3" {
  address  = "192.0.2.1:110"
  protocol = "pop3"
  tls      = "off"

  login_without_tls = "none"
}

listener "kpop" {
  address  = ":1109"
  protocol = "kpop"
  tls      = "implicit"
}

listener "lmtp" {
  address    = "unix:/run/kpopd/lmtp.sock"
  protocol   = "lmtp"
  autologout = "10m"
  allow_from = ["192.0.2.0/24"]
}

listener "admin" {
  address  = ":8080"
  protocol = "admin"
  tls      = "implicit"
}

listener "bad name" {
  address  = ":111"
  protocol = "pop3"
}

listener {
  address  = ":112"
  protocol = "pop3"
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
