hostname = user

listener "pop3" {
  address  = "127.0.0.1:110"
  protocol = "pop3"
  tls      = "off"
}

account {
  when     = usr == "alice" && lowr(user) == "bob"
  maildrop = "x/${basename(user, user)}"
}

account {
  when     = user
  maildrop = groups
}

account {
  when     = regex("(unclosed", user) != ""
  maildrop = regex(user, "alice")
}

account {
  when     = attr == "x"
  maildrop = attr[user]
}

account {
  maildrop           = [for g in groups : file(g)][0]
  allow_authzid      = 5
  allow_authzid_from = ["unix"]
}

account {
  maildrop = user.name
}

account {
  maildrop = [for a in groups : [for b in groups : [for c in groups : c]]][0][0][0]
}

account {
  when     = maildrop == "x"
  maildrop = user
  unless   = true
}

maildrop "maildir" {
  path = "/srv/mail/${user}/${maildrop}"
}
