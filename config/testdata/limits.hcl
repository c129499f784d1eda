hostname = "pop.example.com"

limits {
  memory_before_login = "1023KiB"
}

throttle {
  delay     = "5s"
  max_delay = "2s"
}

locks {
  directory = ""
}

locks {
}

tls {
  certificate {
    cert_file = "tls.crt"
    key_file  = "tls.key"
  }
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
