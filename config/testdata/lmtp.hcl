hostname = "pop.example.com"

listener "everybody" {
  address  = ":24"
  protocol = "lmtp"
}

listener "nobody" {
  address             = ":2424"
  protocol            = "lmtp"
  tls                 = "implicit"
  client_certificates = "none"
}

listener "unsigned" {
  address  = ":2425"
  protocol = "lmtp"
  tls      = "starttls"
}

listener "asked" {
  address             = "127.0.0.1:24000"
  protocol            = "lmtp"
  tls                 = "starttls"
  client_certificates = "request"
}

listener "local" {
  address             = "127.0.0.1:24001"
  protocol            = "lmtp"
  client_certificates = "require"
  socket_mode         = "0660"
  login_timeout       = "60s"
}

listener "wrong" {
  address             = "unix:/run/kpopd/lmtp.sock"
  protocol            = "lmtp"
  socket_mode         = "0777"
  socket_group        = ""
  recipients          = "everybody"
  recipient_delimiter = "@"
  max_message_size    = "1KiB"
  max_recipients      = 10
  data_timeout        = "2h"
  over_quota          = "bounce"
  share_messages      = "yes"
}

listener "octal" {
  address     = "unix:/run/kpopd/lmtp2.sock"
  protocol    = "lmtp"
  socket_mode = "0680"
}

listener "pop3" {
  address        = "127.0.0.1:110"
  protocol       = "pop3"
  recipients     = "rules"
  share_messages = true
}

tls {
  certificate {
    cert_file = "/etc/kpopd/tls.crt"
    key_file  = "/etc/kpopd/tls.key"
  }
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}/Maildir"
}
