package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"

	"kpopd/testenv"
)

// A kpopdSetup is what differs between the kpopds of a setting.
type kpopdSetup struct {
	scheme    string // by which the passwords in the file of users are hashed; "": PLAIN
	directory bool   // they are in a directory instead
	who       string // more configuration of the authenticator
	more      string // and of the rest
}

// kpopd is a kpopd with its defaults, but for what bounds clients of one address,
// all of which ours are.
func kpopd(name string, k kpopdSetup) server {
	return server{name: name, start: func(s *site, v server, mail string) *instance {
		state := s.TempDir()
		return v.several(func() *instance { return s.startKpopd(cmp.Or(v.program, s.kpopd), state, mail, k) })
	}}
}

// It writes the lines about logins that it writes by default, to a file, as Dovecot
// does.
var kpopdConfig = template.Must(template.New("").Parse(`
hostname  = "localhost"
state_dir = "{{.State}}/state"
listener "pop3" {
  address           = "{{index .Addrs 0}}"
  protocol          = "pop3"
  login_without_tls = "any"
}
listener "pop3s" {
  address  = "{{index .Addrs 1}}"
  protocol = "pop3"
  tls      = "implicit"
}
{{if .Keytab}}
listener "kpop" {
  address  = "{{index .Addrs 2}}"
  protocol = "kpop"
}
kerberos {
  keytab = "{{.Keytab}}"
  realms = ["EXAMPLE.TEST"]
}
{{end}}
tls {
  certificate {
    cert_file = "{{.Cert}}"
    key_file  = "{{.Key}}"
  }
}
{{if .Directory}}
authenticator "ldap" "directory" {
  urls               = ["{{.Directory}}"]
  starttls           = false
  base_dn            = "ou=people,dc=example,dc=test"
  filter             = "(uid=${user})"
  bind_dn            = "{{.ServiceDN}}"
  bind_password_file = "{{.Dir}}/secret"
  {{.Who}}
}
{{else}}
authenticator "file" "users" {
  path = "{{.Dir}}/users"
  {{.Who}}
}
{{end}}
maildrop "maildir" {
  path = "{{.Mail}}/${maildrop}/Maildir"
}
limits {
  connections             = 1000000
  connections_per_address = 1000000
}
log {
  format = "json"
  file   = "{{.Dir}}/log"
}
{{.More}}
`))

func (s *site) startKpopd(program, state, mail string, k kpopdSetup) *instance {
	facts := map[string]any{"Dir": s.TempDir(), "State": state, "Mail": mail, "Cert": s.cert, "Key": s.key, "Who": k.who, "More": k.more, "Directory": "", "Keytab": ""}
	dir := facts["Dir"].(string)
	ports := []string{"pop3", "pop3s"}
	if s.world != nil {
		facts["Keytab"], ports = s.world.Keytab, append(ports, "kpop")
	}
	if k.directory {
		facts["Directory"], facts["ServiceDN"] = s.world.LDAP(s).URL, testenv.ServiceDN
		s.must(os.WriteFile(filepath.Join(dir, "secret"), []byte(testenv.ServicePassword), 0o600))
	} else {
		s.must(os.WriteFile(filepath.Join(dir, "users"), s.passwords(cmp.Or(k.scheme, "PLAIN")), 0o600))
	}
	p := testenv.Launch(s, len(ports), func(addrs []string) *exec.Cmd {
		facts["Addrs"] = addrs
		path := filepath.Join(dir, "kpopd.hcl")
		var config bytes.Buffer
		s.must(kpopdConfig.Execute(&config, facts))
		s.must(os.WriteFile(path, config.Bytes(), 0o600))
		return exec.Command(program, "serve", "-config", path)
	})
	i := &instance{addrs: map[string]string{}, pid: p.Pid, log: filepath.Join(dir, "log")}
	for k, port := range ports {
		i.addrs[port] = p.Addrs[k]
	}
	return i
}

// passwords is the file of users, all of whom have the one password, hashed once.
func (s *site) passwords(scheme string) []byte {
	hash := "{PLAIN}" + password
	if scheme != "PLAIN" {
		cmd := exec.CommandContext(s.Context(), s.kpopd, "user", "hash", "-scheme", scheme)
		cmd.Stdin = strings.NewReader(password + "\n")
		out, err := cmd.Output()
		s.must(err)
		hash = strings.TrimSpace(string(out))
	}
	var users bytes.Buffer
	for i := range s.users {
		fmt.Fprintf(&users, "%s:%s\n", userName(i), hash)
	}
	return users.Bytes()
}
