package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kpopd/config"
	"kpopd/maildrop/maildir"
)

// readmeBlock returns the first fenced block of the README that matches.
func readmeBlock(t *testing.T, pattern string) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```[a-z]*\n(" + pattern + ".*?)```").FindSubmatch(text)
	if m == nil {
		t.Fatalf("README.md has no block that begins with %s", pattern)
	}
	return string(m[1])
}

// TestREADMEConfiguration loads the configuration that the README shows.
func TestREADMEConfiguration(t *testing.T) {
	f, diags := config.Parse("README.md", []byte(readmeBlock(t, "hostname ")))
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	var ports []string
	for _, l := range f.Listeners {
		ports = append(ports, l.Address.String())
	}
	if got := strings.Join(ports, " "); got != ":110 :995 :1109" {
		t.Errorf("it listens on %s", got)
	}
}

// TestREADMESession has the session that the README shows.
func TestREADMESession(t *testing.T) {
	s := newSite(t)
	s.write(t, "users", "alice:{PLAIN}sesame\n")
	store := &maildir.Store{Root: filepath.Join(s.Dir, "mail"), Path: func(name string) (string, error) { return name + "/Maildir", nil }}
	for i := 1; i <= 3; i++ {
		msg, err := os.Open(fmt.Sprintf("dev/%d.eml", i))
		if err != nil {
			t.Fatal(err)
		}
		defer msg.Close()
		if err := store.Deliver(context.Background(), "alice", msg); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(s.config(t))
	if err != nil {
		t.Fatal(err)
	}
	hcl := strings.Replace(string(text), `"localhost"`, `"pop.corp.example"`, 1)
	hcl = strings.Replace(hcl, `mechanisms = ["GSSAPI", "PLAIN", "APOP"]`, "", 1)
	d := startDaemon(t, s.write(t, "kpopd.hcl", hcl))
	conn, err := tls.Dial("tcp", d.addrs["pop3s"], &tls.Config{RootCAs: s.world.CA.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	c := &client{t, conn, bufio.NewReader(conn)}
	for line := range strings.Lines(strings.TrimPrefix(readmeBlock(t, `\$ openssl`), "$ ")) {
		line = strings.TrimSuffix(line, "\n")
		switch word, _, _ := strings.Cut(line, " "); {
		case word == "openssl":
		case strings.Contains(" CAPA USER PASS DELE QUIT ", " "+word+" ") && line != "USER":
			fmt.Fprintf(conn, "%s\r\n", line)
		default:
			if got := c.line(); got != line {
				t.Errorf("the server says %q, the README %q", got, line)
			}
		}
	}
}
