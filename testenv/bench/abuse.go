package main

import (
	"fmt"
	"strconv"
)

// abuses are logins beside clients that are a burden, compared with the same
// logins without.
func (p pace) abuses() (all []row) {
	const users = 100
	at := &setting{users: users, fill: fillAll(users, 10, 4<<10, byDovecot), servers: three}
	for _, n := range p.some(1_000, 2_000) {
		for _, k := range []struct{ name, what string }{{"slow", "slow"}, {"silent", "silent"}, {"churn", "reconnecting"}} {
			r := row{
				name: fmt.Sprintf("abuse/%s/%d", k.name, n), what: fmt.Sprintf("logins beside %s %s clients", thousands(p.n(n)), k.what),
				setting: at, value: perSecond,
			}
			for _, v := range three {
				alone := v.name + ", alone"
				r.runs = append(r.runs,
					run{label: v.name, server: v.name, port: "pop3", args: load("abuse", 8, users, "-"+k.name, strconv.Itoa(p.n(n))), against: alone},
					run{label: alone, server: v.name, port: "pop3", args: load("login", 8, users)})
			}
			all = append(all, r)
		}
	}
	return all
}
