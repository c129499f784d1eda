hostname = "pop.example.com"

listener "pop3" {
  address           = "127.0.0.1:110"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "any"
}

maildrop "mbox" {
  path              = "/var/mail/${maildrop}"
  format            = "mboxrb"
  uidl              = "uwu"
  locks             = ["fcntl", "lockf"]
  lock_timeout      = "1h"
  rewrite           = "rename"
  uidl_change_limit = "0%"
}
