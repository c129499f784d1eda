# Every block and argument there is.

hostname   = "pop.corp.example"
state_dir  = "/var/lib/kpopd"
mechanisms = ["GSSAPI", "SCRAM-SHA-256-PLUS", "PLAIN", "EXTERNAL", "OAUTHBEARER"]

listener "pop3" {
  address             = ":110"
  protocol            = "pop3"
  tls                 = "starttls"
  login_without_tls   = "none"
  mechanisms          = ["GSSAPI"]
  allow_from          = ["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]
  proxy_protocol_from = ["192.0.2.1"]
  login_timeout       = "30s"
  autologout          = "1h30m"
  language            = "ja"
  utf8_messages       = "refuse"
  sdps                = true
  sdps_separators     = "+%"
}

listener "pop3s" {
  address  = "[2001:db8::1]:995"
  protocol = "pop3"
  tls      = "implicit"
}

listener "kpop" {
  address  = ":1109"
  protocol = "kpop"
  tls      = "starttls"
}

listener "lmtp" {
  address  = "unix:/run/kpopd/lmtp.sock"
  protocol = "lmtp"
}

listener "admin" {
  address  = "unix:/run/kpopd/admin.sock"
  protocol = "admin"
}

tls {
  certificate {
    cert_file = "/etc/kpopd/tls.crt"
    key_file  = "/etc/kpopd/tls.key"
  }
  certificate {
    cert_file = "other.crt"
    key_file  = "other.key"
  }
  client_ca_file = "/etc/kpopd/clients.pem"
  min_version    = "1.3"
}

kerberos {
  keytab          = "/etc/kpopd/krb5.keytab"
  service         = "pop"
  realms          = ["CORP.EXAMPLE"]
  channel_binding = "none"
  security_layers = ["integrity", "confidentiality"]
  max_skew        = "2m"
  pac             = "require"
  domain_sids     = ["S-1-5-21-1004336348-1177238915-682003330"]
}

authenticator "file" "services" {
  path  = "/etc/kpopd/users"
  cache = "2h"
}

authenticator "ldap" "corp" {
  urls               = ["ldaps://dc1.corp.example", "ldaps://dc2.corp.example"]
  ca_file            = "/etc/kpopd/ca.pem"
  bind_dn            = "cn=kpopd,ou=services,dc=corp,dc=example"
  bind_password_file = "/etc/kpopd/ldap.secret"
  base_dn            = "ou=people,dc=corp,dc=example"
  filter             = "(&(objectClass=person)(uid=${user}))"
  lookup_filter      = principal != "" ? "(krbPrincipalName=${principal})" : "(uid=${lower(user)})"
  attributes         = ["mailbox", "memberOf"]
}

authenticator "oauth" "sso" {
  issuer             = "https://sso.corp.example"
  jwks_url           = "https://sso.corp.example/keys"
  audience           = "pop"
  scopes             = ["pop", "https://corp.example/mail"]
  algorithms         = ["RS256", "EdDSA"]
  require_at_jwt     = true
  user_claim         = "preferred_username"
  groups_claim       = "groups"
  claims             = ["department", "https://corp.example/site"]
  ca_file            = "/etc/kpopd/ca.pem"
  timeout            = "10s"
}

authenticator "oauth" "opaque" {
  issuer             = "https://idp.partner.example"
  introspection_url  = "https://idp.partner.example/introspect"
  audience           = "pop"
  client_id          = "kpopd"
  client_secret_file = "/etc/kpopd/oauth.secret"
  cache              = "0s"
}

authenticator "certificate" "clients" {
  user_from = ["upn", "email"]
}

account {
  when     = realm == "PARTNER.EXAMPLE" && contains(groups, "pop-users")
  maildrop = "partner/${lower(user)}"
}

account {
  when               = attr.mailbox != ""
  maildrop           = attr.mailbox
  allow_authzid      = contains(groups, "help-desk")
  allow_authzid_from = ["192.0.2.0/24", "2001:db8::7", "unix"]
}

account {
  maildrop = lower(user)
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}/Maildir"
}

throttle {
  enabled             = false
  failures_per_minute = 30
  delay               = "500ms"
  max_delay           = "5s"
}

limits {
  connections             = 500
  connections_per_address = 10
  connections_per_user    = 5
  memory_before_login     = "2GiB"
}

log {
  level  = "debug"
  format = "json"
  file   = "/var/log/kpopd/kpopd.log"
}

audit {
  file = "/var/log/kpopd/audit.log"
}
