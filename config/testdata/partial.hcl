hostname = "pop.example.com"

listener "pop3" {
  address  = ":110
  protocol = "pop3"
}

listener "kpop" {
  address  = ":1109"
  protocol = kpop
}

account {
  maildrop = lower(user
}
