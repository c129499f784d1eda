hostname = "pop.example.com"

listener "pop3" {
  address           = "127.0.0.1:110"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "any"
}

maildrop "mbox" {
  path  = "/var/mail/${maildrop}"
  locks = ["dotlock_try"]
}
