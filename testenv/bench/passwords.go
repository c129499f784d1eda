package main

import (
	"bytes"
	"fmt"
	"os/exec"

	"kpopd/testenv"
)

// passwords are logins by what it takes to check a password: a slow hash, once or
// each time, and a directory.
func (p pace) passwords() []row {
	const users = 50
	fill := fillAll(users, 3, 4<<10, byDovecot)
	hashes := &setting{users: users, fill: fill, servers: []server{
		kpopd("in the clear", kpopdSetup{}),
		kpopd("argon2id, remembered", kpopdSetup{scheme: "ARGON2ID"}),
		kpopd("argon2id, computed each time", kpopdSetup{scheme: "ARGON2ID", who: `cache = "0s"`}),
		kpopd("SHA512-CRYPT, computed each time", kpopdSetup{scheme: "SHA512-CRYPT", who: `cache = "0s"`}),
	}}
	directory := &setting{users: users, world: true, fill: func(s *site) { fill(s); s.enter() }, servers: []server{
		kpopd("in a file", kpopdSetup{}),
		kpopd("slapd, remembered", kpopdSetup{directory: true}),
		kpopd("slapd, asked each time", kpopdSetup{directory: true, who: `cache = "0s"`}),
	}}
	return []row{
		{name: "password/hash", what: "login + STAT + QUIT, hashed password", setting: hashes, value: perSecond, runs: hashes.each(users)},
		{name: "password/directory", what: "login + STAT + QUIT, password in a directory", setting: directory, value: perSecond, runs: directory.each(users)},
	}
}

// each has all servers of a setting do the same logins; they are compared with the
// first.
func (of *setting) each(users int) (all []run) {
	for i, v := range of.servers {
		all = append(all, run{label: v.name, server: v.name, port: "pop3", args: load("login", 8, users)})
		if i > 0 {
			all[i].against = all[0].label
		}
	}
	return all
}

// enter makes the users entries of the directory.
func (s *site) enter() {
	var entries bytes.Buffer
	for i := range s.users {
		fmt.Fprintf(&entries, "dn: uid=%s,%s\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\nuserPassword: %[3]s\n\n",
			userName(i), testenv.PeopleDN, password)
	}
	cmd := exec.CommandContext(s.Context(), testenv.Need(s, "ldapadd"), "-x", "-D", testenv.AdminDN, "-w", testenv.AdminPassword, "-H", s.world.LDAP(s).URL)
	cmd.Stdin = &entries
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Fatalf("ldapadd: %v\n%s", err, out)
	}
}
