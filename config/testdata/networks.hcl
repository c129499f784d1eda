hostname = "pop.example.com"

listener "pop3" {
  address  = ":110"
  protocol = "pop3"
  tls      = "off"

  login_without_tls = "none"
  allow_from        = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32"]

  network "office" {
    from              = ["10.1.0.0/16", "2001:db8:1::/48"]
    login_without_tls = "any"
    mechanisms        = ["PLAIN"]
  }
  network "desk" {
    from = ["10.1.2.3", "10.1.128.0/17"]
  }
  network "partly" {
    from = ["10.1.2.0/24", "10.2.0.0/16"]
  }
  network "half" {
    from = ["10.4.0.0/17", "10.4.128.0/17"]
  }
  network "whole" {
    from = ["10.4.0.0/16"]
  }
  network "abroad" {
    from              = ["198.51.100.0/24"]
    login_without_tls = "none"
  }
  network "office" {
    from       = ["192.0.2.7"]
    mechanisms = ["GSSAPI", "NTLM"]
    colour     = "blue"
  }
  network "empty" {
    login_without_tls = "tickets"
  }
}

listener "closed" {
  address           = ":111"
  protocol          = "pop3"
  tls               = "off"
  login_without_tls = "none"
  network "off" {
    from = ["10.0.0.0/8"]
  }
}

listener "local" {
  address  = "unix:/run/kpopd/pop3.sock"
  protocol = "pop3"
  tls      = "off"
  network "loopback" {
    from              = ["127.0.0.0/8", "::1"]
    login_without_tls = "any"
  }
}

listener "kpop" {
  address  = ":1109"
  protocol = "kpop"
  tls      = "off"
  network "office" {
    from       = ["10.0.0.0/8"]
    mechanisms = ["GSSAPI"]
  }
}

listener "lmtp" {
  address  = "unix:/run/kpopd/lmtp.sock"
  protocol = "lmtp"
  network "office" {
    from = ["10.0.0.0/8"]
  }
}

authenticator "file" "users" {
  path = "/etc/kpopd/users"
}

kerberos {
  keytab = "/etc/krb5.keytab"
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
