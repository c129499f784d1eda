package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"kpopd/maildrop"
	"kpopd/maildrop/migrate"
)

// oldServerFlags say how to log in to the old server.
func oldServerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "url", Usage: "the old server: pop3s://HOST[:PORT], or pop3://HOST[:PORT] with STLS, as `URL`"},
		&cli.StringFlag{Name: "user", Value: "%s", Usage: "log in as `USER`, %s in it being NAME, as in '%s*master' where a master user is one of Dovecot's"},
		&cli.StringFlag{Name: "master", Usage: "log in as `ADMIN` who may act as each user, by SASL PLAIN with an authzid"},
		&cli.StringFlag{Name: "password-file", Usage: "`FILE` whose only line is the password; %s in it is NAME"},
		&cli.StringFlag{Name: "ca-file", Usage: "`FILE` of the authorities that sign for the old server; absent: the system's"},
		&cli.BoolFlag{Name: "clear", Usage: "send the password in the clear to a server that has no TLS"},
		&cli.DurationFlag{Name: "timeout", Value: 2 * time.Minute, Usage: "wait for each reply at most so long, a `DURATION`"},
	}
}

// An oldServer is who to ask.
type oldServer struct {
	login              migrate.Login
	user, passwordFile string
	master             string
}

func newOldServer(cmd *cli.Command) (o *oldServer, err error) {
	o = &oldServer{user: cmd.String("user"), master: cmd.String("master"), passwordFile: cmd.String("password-file")}
	o.login = migrate.Login{Clear: cmd.Bool("clear"), Timeout: cmd.Duration("timeout")}
	switch {
	case cmd.String("url") == "":
		return nil, usagef("uidl %s: -url URL is needed", cmd.Name)
	case o.passwordFile == "":
		return nil, usagef("uidl %s: -password-file FILE is needed", cmd.Name)
	}
	if o.login.URL, err = url.Parse(cmd.String("url")); err != nil || o.login.URL.User != nil {
		return nil, usagef("uidl %s: -url is not pop3s://HOST or pop3://HOST", cmd.Name) // it may hold a password
	}
	if path := cmd.String("ca-file"); path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate", path)
		}
		o.login.TLS = &tls.Config{RootCAs: pool}
	}
	return o, nil
}

// dial logs in for a maildrop.
func (o *oldServer) dial(ctx context.Context, name string) (*migrate.Client, error) {
	f, err := os.Open(strings.ReplaceAll(o.passwordFile, "%s", captureName(name)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l := o.login
	if l.Password, err = readLine(f); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	l.User = strings.ReplaceAll(o.user, "%s", name)
	if o.master != "" {
		l.User, l.Authzid = o.master, l.User
	}
	return migrate.Dial(ctx, l)
}

// captureName is what files of a maildrop are called beside those of others.
func captureName(name string) string {
	return maildrop.Escape(name, 200, func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.@+=", c) >= 0
	})
}
