package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"kpopd/testenv"
)

// A setting is the servers that rows are about, and their mail.
type setting struct {
	users   int         // how many have a password, from user0000 on
	fill    func(*site) // makes the Maildirs
	world   bool        // there are a KDC and a directory
	servers []server    // those that borrow are the last
}

// A server is one of them.
type server struct {
	name string // of its runs
	// start starts it for a copy of the mail.
	start func(s *site, v server, mail string) *instance
	// program, where it is not "", is another build of kpopd.
	program string
	env     string // more environment of the limit server
	crew    int    // more processes of it
	// borrows: it has no copy of its own, but reads that of the first server,
	// which is started later, once.
	borrows bool
}

// limit is the server that answers from memory, and frugal the same with a garbage
// collector that keeps less, for where memory counts.
var (
	limit  = server{name: "limit", start: startLimit, borrows: true}
	frugal = server{name: "limit", start: startLimit, borrows: true, env: "GOGC=100"}
)

// An instance is a server that runs.
type instance struct {
	addrs map[string]string // by port: pop3, pop3s, kpop
	pid   int
	log   string // a file; "": there is none
	// crew are more processes of the same server, for more sessions than one has
	// files for.
	crew []*instance
}

// said is the end of the server's log.
func (i *instance) said() string {
	const most = 1000
	text, _ := os.ReadFile(i.log) // nothing, where there is none
	return string(text[max(0, len(text)-most):])
}

// A site is a setting that is set up.
type site struct {
	*stage
	*setting
	pace
	tools
	dir       string
	cert, key string // files
	ca        *testenv.CA
	world     *testenv.World // nil: not in this setting
	mails     []string       // the directory of each server's Maildirs
	instances map[string]*instance
}

const password = "sesam"

// open sets a setting up. Servers are started from the last to the first.
func open(t *stage, p pace, tools tools, of *setting) *site {
	s := &site{stage: t, setting: of, pace: p, tools: tools, dir: t.TempDir(), instances: map[string]*instance{}}
	s.must(os.Mkdir(filepath.Join(s.dir, "pool"), 0o755))
	for i, v := range of.servers {
		if !v.borrows {
			s.mails = append(s.mails, filepath.Join(s.dir, "mail", fmt.Sprint(i)))
			s.must(os.MkdirAll(s.mails[i], 0o755))
		}
	}
	s.certify()
	if of.world {
		s.world = testenv.New(t, testenv.Native)
	}
	of.fill(s)
	for i, v := range slices.Backward(of.servers) {
		mail := s.mails[0]
		if !v.borrows {
			mail = s.mails[i]
		}
		s.instances[v.name] = v.start(s, v, mail)
	}
	return s
}

// certify makes the certificate of kpopd and of the limit server, as Dovecot has
// one: P-256.
func (s *site) certify() {
	var err error
	s.ca, err = testenv.NewCA()
	s.must(err)
	cert, err := s.ca.Server("localhost", "127.0.0.1")
	s.must(err)
	s.cert, s.key = cert.Files(s)
}

// path is a file of the site's.
func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// several starts the processes of a server.
func (v server) several(start func() *instance) *instance {
	i := start()
	for range v.crew {
		i.crew = append(i.crew, start())
	}
	return i
}

// startLimit starts the limit server.
func startLimit(s *site, v server, mail string) *instance {
	return v.several(func() *instance { return s.startLimit(v, mail) })
}

func (s *site) startLimit(v server, mail string) *instance {
	p := testenv.Launch(s, 2, func(addrs []string) *exec.Cmd {
		cmd := exec.Command(s.limit, "-plain", addrs[0], "-tls", addrs[1], "-cert", s.cert, "-key", s.key, "-mail", mail, "-password", password)
		cmd.Env = append(os.Environ(), v.env)
		return cmd
	})
	return &instance{addrs: map[string]string{"pop3": p.Addrs[0], "pop3s": p.Addrs[1]}, pid: p.Pid}
}

// Tools are the programs that the bench runs.
type tools struct{ kpopd, limit, popbench string }

// build builds what is not given.
func build(t *stage, given tools) tools {
	dir := t.TempDir()
	for path, pkg := range map[*string]string{
		&given.kpopd: "kpopd/cmd/kpopd", &given.limit: "kpopd/testenv/bench/limit", &given.popbench: "kpopd/cmd/popbench",
	} {
		if *path != "" {
			continue
		}
		*path = filepath.Join(dir, pkg[strings.LastIndexByte(pkg, '/')+1:])
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", *path, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", pkg, err, out)
		}
	}
	return given
}
