hostname = "pop.corp.example"

tls {
  certificate {
    cert_file = "/etc/kpopd/tls.crt"
    key_file  = "/etc/kpopd/tls.key"
  }
  client_ca_file   = "/etc/kpopd/clients.pem"
  client_crl_files = []
}

authenticator "file" "users" {
  path = "/etc/kpopd/users"
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
