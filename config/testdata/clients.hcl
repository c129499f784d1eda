hostname = "pop.corp.example"

listener "off" {
  address             = ":110"
  protocol            = "pop3"
  tls                 = "off"
  client_certificates = "request"
}

listener "pop3s" {
  address             = ":995"
  protocol            = "pop3"
  tls                 = "implicit"
  client_certificates = "require"
}

listener "sometimes" {
  address             = ":996"
  protocol            = "pop3"
  client_certificates = "requests"
}

listener "kpop" {
  address             = ":1109"
  protocol            = "kpop"
  client_certificates = "none"
  mechanisms          = ["EXTERNAL"]
}

listener "lmtp" {
  address             = ":24"
  protocol            = "lmtp"
  client_certificates = "require"
}

tls {
  certificate {
    cert_file = "/etc/kpopd/tls.crt"
    key_file  = "/etc/kpopd/tls.key"
  }
  client_crl_files = ["/etc/kpopd/clients.crl"]
}

kerberos {
  keytab = "/etc/krb5.keytab"
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
