hostnam  = "pop.example.com"
hostname = "pop.example.com"

listner "pop3" {
  address = ":110"
}

listener "pop3" {
  adress   = ":110"
  address  = ":110"
  protocol = "popp3"
  tls      = "start"
  ports    = [110]
}

kerberos = "yes"

log "x" {
  level = "verbose"
}

maildrop "maildri" {
  path = "/srv/mail/${maildrop}"
}
