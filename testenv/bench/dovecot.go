package main

import (
	"strings"

	"kpopd/testenv"
)

// dovecotTuning is what Dovecot's own documentation says for speed
// (https://doc.dovecot.org/2.3/), on two cores. pop3_fast_size_lookups is not among
// it: by that LIST tells sizes that are not those of RETR.
const dovecotTuning = `
# Login processes, "High-performance mode": they serve many connections each, as many
# processes as there are cores, which are there from the start.
service pop3-login {
  service_count = 0
  process_min_avail = 2
  client_limit = 20000
  vsz_limit = 2 G
}
# Service configuration, "service_count": a process serves one session after another,
# instead of being made for each; process_min_avail: some are there from the start.
service pop3 {
  service_count = 1000
  process_min_avail = 8
  process_limit = 20000
}
# What these two need, so that nobody waits for a free connection.
service auth {
  client_limit = 50000
}
service anvil {
  client_limit = 50000
}
service stats {
  client_limit = 50000
}
mail_max_userip_connections = 0

# POP3 server: "If you want to avoid IO, set pop3_no_flag_updates".
pop3_no_flag_updates = yes
# Maildir, "Optimizations": directories are scanned only when their times changed, and
# messages are not looked for that others may have moved.
maildir_very_dirty_syncs = yes
# mail_fsync = optimized: its default; the row says so where it is another.
# Authentication, "Caching": right passwords are remembered.
auth_cache_size = 100 M
auth_cache_ttl = 1 hour
# Logging: a line a login and a line for its end, as is the default and as kpopd does;
# nothing of what is verbose.
auth_verbose = no
mail_debug = no
verbose_ssl = no
`

// dovecot is a Dovecot that is tuned, with more configuration.
func dovecot(name string, more ...string) server {
	return server{name: name, start: func(s *site, _ server, mail string) *instance {
		users, principals := map[string]string{}, map[string]string{}
		for i := range s.users {
			users[userName(i)] = password
			principals[userName(i)] = userName(i) + "@" + testenv.Realm
		}
		c := testenv.DovecotConfig{Mail: mail, Users: users, Log: s.path("dovecot.log"), Extra: dovecotTuning + strings.Join(more, "\n")}
		if s.world != nil {
			c.Keytab, c.Krb5Conf = s.world.Keytab, s.world.Krb5Conf
			c.Principals = principals
		}
		d := testenv.StartDovecot(s, c)
		return &instance{addrs: map[string]string{"pop3": d.POP3, "pop3s": d.POP3S}, pid: d.Pid(), log: c.Log}
	}}
}
