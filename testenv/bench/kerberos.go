package main

import (
	"os"
	"strconv"
)

// tickets are the files of tickets, one for each user.
const tickets = siteDir + "/tickets-user%04d"

// kerberos are logins with tickets, beside those with a password that takes long
// to check and is remembered.
func (p pace) kerberos() []row {
	const users = 8
	at := &setting{users: users, world: true, fill: func(s *site) { fillAll(users, 3, 4<<10, byDovecot)(s); s.enroll() },
		servers: []server{kpopd("kpopd", kpopdSetup{scheme: "ARGON2ID"}), dovecot("Dovecot")}}
	ticket := func(workload string) []string {
		return []string{workload, "-clients", strconv.Itoa(users), "-user", "user%04d", "-users", strconv.Itoa(users), "-ccache", tickets, "-service", "pop@localhost"}
	}
	const password = "kpopd, password, remembered"
	return []row{{
		name: "kerberos", what: "login + STAT + QUIT, by ticket and by password", setting: at, value: perSecond,
		runs: []run{
			{label: password, server: "kpopd", port: "pop3", args: load("login", users, users)},
			{label: "kpopd, GSSAPI", server: "kpopd", port: "pop3", args: ticket("gssapi"), against: password},
			{label: "kpopd, KPOP", server: "kpopd", port: "kpop", args: ticket("kpop"), against: password},
			{label: "Dovecot, GSSAPI", server: "Dovecot", port: "pop3", args: ticket("gssapi"), against: "kpopd, GSSAPI"},
		},
	}}
}

// enroll makes the users principals, each with a ticket for the service.
func (s *site) enroll() {
	for i := range s.users {
		name := userName(i)
		s.world.AddUser(s, name)
		cache := s.world.Kinit(s, name)
		s.world.Ticket(s, cache, "pop/localhost")
		s.must(os.Rename(cache, s.path("tickets-"+name)))
	}
}
