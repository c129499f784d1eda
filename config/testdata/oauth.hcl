hostname = "pop.example.com"

listener "pop3" {
  address  = "127.0.0.1:110"
  protocol = "pop3"
  tls      = "off"
}

authenticator "oauth" "http" {
  issuer     = "http://sso.example.com"
  audience   = "pop"
  algorithms = ["RS256", "HS256", "none"]
  scopes     = ["pop mail"]
  claims     = ["department", "realm"]
  cache      = "1m"
  timeout    = "0s"
}

authenticator "oauth" "keys" {
  jwks_url  = "https://sso.example.com/keys"
  audience  = "pop"
  client_id = "kpopd"
}

authenticator "oauth" "both" {
  issuer            = "https://sso.example.com"
  jwks_url          = "https://sso.example.com/keys"
  introspection_url = "https://sso.example.com/introspect"
  audience          = "pop"
  require_at_jwt    = true
  client_secret     = "hunter2"
}

authenticator "oauth" "twice" {
  issuer   = "https://me:hunter2@sso.example.com"
  audience = ""
  claims   = ["a", "a"]
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
