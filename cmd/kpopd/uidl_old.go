package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"kpopd/auth"
	"kpopd/auth/krb5"
	"kpopd/maildrop"
	"kpopd/maildrop/migrate"
)

// oldServerFlags say how to log in to the old server.
func oldServerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "url", Usage: "the old server: pop3s://HOST[:PORT], or pop3://HOST[:PORT] with STLS, as `URL`"},
		&cli.StringFlag{Name: "user", Value: "%s", Usage: "log in as `USER`, %s in it being NAME, as in '%s*master' where a master user is one of Dovecot's"},
		&cli.StringFlag{Name: "master", Usage: "log in as `ADMIN` who may act as each user, by SASL PLAIN with an authzid; with -keytab, the principal whose key it is"},
		&cli.StringFlag{Name: "password-file", Usage: "`FILE` whose only line is the password; %s in it is NAME"},
		&cli.StringFlag{Name: "ccache", Usage: "log in by SASL GSSAPI, to act as -user, with the service ticket in the credentials cache `FILE`"},
		&cli.StringFlag{Name: "keytab", Usage: "log in by SASL GSSAPI, to act as -user, with a ticket that the key in `FILE` gets"},
		&cli.StringFlag{Name: "krb5-conf", Sources: cli.EnvVars("KRB5_CONFIG"), Usage: "`FILE` that says where KDCs are, for -keytab; absent: /etc/krb5.conf"},
		&cli.StringFlag{Name: "ca-file", Usage: "`FILE` of the authorities that sign for the old server; absent: the system's"},
		&cli.BoolFlag{Name: "clear", Usage: "send the password, or with a ticket take the headers, in the clear from a server that has no TLS"},
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
	case countSet(cmd, "password-file", "ccache", "keytab") != 1:
		return nil, usagef("uidl %s: one of -password-file FILE, -ccache FILE and -keytab FILE is needed", cmd.Name)
	case cmd.IsSet("ccache") && o.master != "":
		return nil, usagef("uidl %s: -ccache: the ticket says who logs in, not -master", cmd.Name)
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
	o.login.Ticket, err = ticketOf(cmd)
	return o, err
}

func countSet(cmd *cli.Command, flags ...string) (n int) {
	for _, f := range flags {
		if cmd.String(f) != "" {
			n++
		}
	}
	return n
}

// ticketOf returns what logs in by Kerberos; nil: a password does.
func ticketOf(cmd *cli.Command) (func(context.Context, string, *tls.ConnectionState) (migrate.Security, error), error) {
	var start func(ctx context.Context, service, host string, p auth.Peer) (*krb5.Initiator, error)
	switch name, keytab := cmd.String("ccache"), cmd.String("keytab"); {
	case name != "":
		cache, err := krb5.LoadCCache(name)
		if err != nil {
			return nil, err
		}
		start = cache.Start
	case keytab != "":
		conf, err := krb5.LoadConf(cmd.String("krb5-conf"))
		if err != nil {
			return nil, err
		}
		login, err := krb5.NewServiceLogin(&krb5.Client{Conf: conf}, cmd.String("master"), keytab, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, err
		}
		start = login.Start
	default:
		return nil, nil
	}
	return func(ctx context.Context, host string, state *tls.ConnectionState) (migrate.Security, error) {
		p := auth.Peer{TLS: state}
		if state != nil {
			p.Certificate = state.PeerCertificates[0]
		}
		i, err := start(ctx, "pop", host, p)
		if err != nil {
			return nil, err // and no Initiator, which would not be nil
		}
		return i, nil
	}, nil
}

// dial logs in for a maildrop.
func (o *oldServer) dial(ctx context.Context, name string) (*migrate.Client, error) {
	if o.login.Ticket != nil {
		l := o.login
		l.User = strings.ReplaceAll(o.user, "%s", name)
		return migrate.Dial(ctx, l)
	}
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
