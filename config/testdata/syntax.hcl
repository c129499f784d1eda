hostname = "pop.example.com

account {
  when     = contains(groups, "x"
  maildrop = user
}

api_key = hunter2)
