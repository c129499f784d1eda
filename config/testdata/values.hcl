hostname   = "pop_1.example.com"
state_dir  = 5
mechanisms = ["GSSAPI", "scram-sha-256", "FOO", "GSSAPI"]

listener "pop3" {
  address             = ":pop3"
  protocol            = "pop3"
  tls                 = "off"
  mechanisms          = []
  allow_from          = ["192.0.2.0/24", "192.0.2.1/24", "example.com"]
  proxy_protocol_from = "192.0.2.1"
  login_timeout       = 60
  autologout          = "9m59s"
  language            = "de-CH"
  utf8_messages       = "utf8"
  sdps                = "true"
  sdps_separators     = "@."
}

listener "other" {
  address       = "unix:relative.sock"
  protocol      = "pop3"
  tls           = "off"
  login_timeout = "1 minute"
}

maildrop "maildir" {
  path              = "/srv/mail/${maildrop}"
  uidl_change_limit = 20
}

limits {
  connections             = "many"
  connections_per_address = 0
  connections_per_user    = -1
  memory_before_login     = "64MB"
}

throttle {
  failures_per_minute = 1.5
  delay               = "31s"
  max_delay           = 10
}

log {
  level = null
  file  = ""
}

audit {
  file = "tab	inside"
}
