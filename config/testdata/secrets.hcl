hostname     = env("KPOPD_TEST_SECRET")
state_dir    = upper(file("secret.txt")) + 1
password     = "hunter2"
api_key      = ["hunter2", "hunter2"]
mechanisms   = [file("secret.txt"), env("KPOPD_TEST_UNSET")]

listener "pop3" {
  address       = env("KPOPD_TEST_SECRET")
  protocol      = env("KPOPD_TEST_SECRET", "hunter2")
  login_timeout = file("secret.txt")
  allow_from    = [file("secret.txt")]
  tls           = file("missing-${env("KPOPD_TEST_SECRET")}")
  bindpassword  = <<EOT
hunter2
EOT
}

kerberos {
  keytab   = "/etc/krb5.keytab"
  realms   = [file("secret.txt")] 
  max_skew = "${file("secret.txt")}hunter2"
  secret "hunter2" {
  }
}

account {
  when     = file("secret.txt")[user] == "x"
  maildrop = {a = "b"}[file("secret.txt")]
}

maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
