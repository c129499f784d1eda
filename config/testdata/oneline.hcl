hostname = "pop.example.com"

listener "pop3" { address = ":110"   protocol = "pop3"   tls = "off" }

maildrop "maildir" { path = "/srv/mail/${maildrop}" }
