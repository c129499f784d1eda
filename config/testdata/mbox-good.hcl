hostname = "pop.example.com"

authenticator "file" "users" {
  path = "/etc/kpopd/users"
}

listener "pop3" {
  address           = "127.0.0.1:110"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "any"
}

maildrop "mbox" {
  path              = "/var/mail/${maildrop}"
  format            = "mboxcl2"
  uidl              = "uw"
  locks             = ["dotlock", "flock"]
  lock_timeout      = "5s"
  rewrite           = "in-place"
  uidl_change_limit = "5%"
}
