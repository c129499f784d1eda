hostname = "pop.example.com"

listener "pop3" {
  address  = "127.0.0.1:110"
  protocol = "pop3"
  tls      = "off"
}

authenticator "file" "users" {
  path = "users"
}

authenticator "file" "users" {
  path = "users"
}

authenticator "ldpa" "corp" {
  urls = ["ldaps://dc.example.com"]
}

authenticator "ldap" "corp" {
  urls          = ["ldaps://dc.example.com", "http://dc.example.com", "ldaps://admin:hunter2@dc.example.com"]
  bind_dn       = "cn=kpopd"
  bind_password = "hunter2"
  base_dn       = "dc=example"
  filter        = "(uid=*)"
  lookup_filter = lower(user)
}

authenticator "ldap" "other" {
  urls          = ["ldaps://"]
  base_dn       = "dc=example"
  filter        = "(uid=${attr.uid})"
  lookup_filter = principal != "" ? "(krb=${principal})" : lower(user)
}

authenticator "oauth" "sso" {
  client_secret_file = "secret"
}

authenticator "certificate" "clients" {
  user_from = ["upn", "mail"]
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
