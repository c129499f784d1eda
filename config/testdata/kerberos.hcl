hostname = "pop.example.com"

mechanisms = ["GSSAPI", "PLAIN", "EXTERNAL", "OAUTHBEARER", "APOP"]

listener "pop3" {
  address  = ":110"
  protocol = "pop3"
  tls      = "off"
}

listener "kpop" {
  address  = ":1109"
  protocol = "kpop"
}

tls {
  min_version = "1.1"
}

tls {
  min_version = "1.2"
}

kerberos {
  service         = "pop/host"
  channel_binding = "require"
  security_layers = ["none", "privacy"]
  max_skew        = "1h"
  realms          = ["CORP.EXAMPLE", ""]
  pac             = "requires"
  domain_sids     = ["S-1-5-21-1-2-3", "S-1-5-21-1-2-3-513", "S-1-5-32-1-2-3", "S-1-5-21-1-2-03"]
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
