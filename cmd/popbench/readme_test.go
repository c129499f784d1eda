package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// examples are the command lines of a text.
func examples(text string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^ *popbench ([a-z]+ .*-.*)$`).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// The examples of the README and of the help are run on a server, with its
// addresses, users and files in place of theirs.
func TestExamples(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	all := examples(string(readme))
	for _, d := range workloads {
		all = append(all, examples(d.example)...)
	}
	if len(all) != 7+len(workloads) {
		t.Errorf("%d examples", len(all))
	}
	s := newSite(t)
	srv := s.startKpopd(t)
	s.write(t, "secret", sesame+"\n")
	s.write(t, "runs.jsonl", `{"x":10,"latency_ms":{"p99":5}}`)
	for _, line := range all {
		t.Run(line, func(t *testing.T) {
			for i := range users {
				s.fill(t, name(i)) // which drain empties
			}
			args := strings.Fields(s.mine(t, srv, line))
			if args[0] != "plot" {
				args = append(args[:len(args)-1], "-q", "-json", "-clients", "1", "-duration", "100ms", "-warmup", "0s", "-server-name", "localhost", args[len(args)-1])
			}
			if status, _, stderr := bench(args...); status != exitOK {
				t.Errorf("%q: status %d: %s", args, status, stderr)
			}
		})
	}
}

// mine puts what the site has in the place of what an example has.
func (s *site) mine(t *testing.T, srv *server, line string) string {
	t.Helper()
	for _, r := range [][2]string{
		{`-users \d+`, "-users 1"}, {`-sessions \d+`, ""}, {`(user|fresh|full)%0\dd`, "user%02d"}, {`-hold 1m`, "-hold 1ms"},
		{`-pid 4711`, ""}, {`-(slow|silent) \d+`, "-$1 2"}, {`(-tls stls .*) \S+:110$`, "$1 " + srv.stls}, {`\S+:110$`, srv.clear}, {`\S+:995$`, srv.implicit}, {`\S+:1109$`, srv.kpop},
		{`pop@mail.example`, "pop@localhost"}, {`cc-%04d`, filepath.Join(s.dir, "cc%02d")}, {`-ca ca.pem`, "-ca " + s.ca},
		{`-password-file secret`, "-password-file " + filepath.Join(s.dir, "secret")},
		{`manifest.jsonl`, filepath.Join(s.dir, "manifest-"+name(0))},
		{`curve.svg`, filepath.Join(s.dir, "curve.svg")}, {`runs.jsonl`, filepath.Join(s.dir, "runs.jsonl")},
	} {
		line = regexp.MustCompile(r[0]).ReplaceAllString(line, r[1])
	}
	s.manifest(t, name(0))
	return line
}
