package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"kpopd/auth/krb5"
	"kpopd/cmd/popbench/load"
	"kpopd/cmd/popbench/procfs"
)

// own returns the flags that only one workload has.
func own(workload string) []cli.Flag {
	switch workload {
	case "gssapi", "kpop":
		return []cli.Flag{
			&cli.StringFlag{Name: "ccache", Sources: cli.EnvVars("KRB5CCNAME"), Usage: "credentials cache `FILE` with the service ticket; with a verb, as in cc-%04d, one of each user's"},
			&cli.StringFlag{Name: "service", Usage: "`SERVICE@HOST` of the ticket; absent: pop@ and the server's name"},
		}
	case "idle":
		return []cli.Flag{
			&cli.IntFlag{Name: "sessions", Usage: "hold `N` sessions; absent: one of each user"},
			&cli.DurationFlag{Name: "hold", Usage: "for a `TIME` before memory is read"},
		}
	case "abuse":
		return []cli.Flag{
			&cli.IntFlag{Name: "slow", Usage: "`N` clients that send an octet every few seconds"},
			&cli.IntFlag{Name: "silent", Usage: "`N` clients that send nothing"},
			&cli.IntFlag{Name: "churn", Usage: "`N` clients that connect and are gone, again and again"},
			&cli.DurationFlag{Name: "pace", Value: time.Second, Usage: "such a client comes again after a `TIME`"},
		}
	}
	return nil
}

// flags are those of all workloads.
func flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "tls", Value: load.None, Usage: "none, stls, implicit, or resumed as `WAY` to the server"},
		&cli.StringFlag{Name: "ca", Usage: "trust the authorities in `FILE`; absent: the system's"},
		&cli.BoolFlag{Name: "insecure", Usage: "trust whatever certificate the server shows"},
		&cli.StringFlag{Name: "server-name", Usage: "the server's `NAME` in its certificate; absent: HOST"},
		&cli.IntFlag{Name: "clients", Value: 8, Usage: "`N` at the same time"},
		&cli.DurationFlag{Name: "duration", Value: 5 * time.Second, Usage: "count for a `TIME`"},
		&cli.Int64Flag{Name: "count", Usage: "count `N` operations, however long they take"},
		&cli.DurationFlag{Name: "warmup", Value: 500 * time.Millisecond, Usage: "do not count for a `TIME` first"},
		&cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "wait for each reply at most so long, a `TIME`"},
		&cli.StringFlag{Name: "user", Usage: "log in as `PATTERN`, user%04d for users by number, or one name"},
		&cli.IntFlag{Name: "users", Value: 1, Usage: "`N` users of the pattern"},
		&cli.IntFlag{Name: "first-user", Usage: "`NUMBER` of the first of them"},
		&cli.StringFlag{Name: "password", Usage: "`PASSWORD` of all users, which others see in the list of processes"},
		&cli.StringFlag{Name: "password-file", Usage: "`FILE` whose first line is the password, of all users"},
		&cli.StringFlag{Name: "mechanism", Value: "user", Usage: "user, plain or apop as `MECHANISM` to log in by"},
		&cli.IntFlag{Name: "pipeline", Value: 1, Usage: "`N` commands in flight (retr, drain, and the login)"},
		&cli.IntFlag{Name: "sources", Usage: "come from `N` addresses, 127.0.0.1 and so on"},
		&cli.StringFlag{Name: "pid", Usage: "the server's processes `PID,PID…`; their children are theirs"},
		&cli.StringFlag{Name: "manifest", Usage: "compare each message with `FILE` of {\"uid\" or \"number\", \"octets\", \"sha256\"}, a line each"},
		&cli.StringFlag{Name: "label", Usage: "`TEXT` for the result"},
		&cli.FloatFlag{Name: "x", Usage: "`NUMBER` for the result, its place in a plot"},
		&cli.BoolFlag{Name: "json", Usage: "write a line of JSON"},
		&cli.BoolFlag{Name: "q", Usage: "no progress bar"},
	}
}

// options are what the command line says.
func options(ctx context.Context, cmd *cli.Command) (o load.Options, err error) {
	if cmd.Args().Len() != 1 {
		return o, usagef("%s: one HOST:PORT is needed", cmd.Name)
	}
	o = load.Options{
		Workload: cmd.Name, TLS: cmd.String("tls"), Clients: cmd.Int("clients"),
		Duration: cmd.Duration("duration"), Count: cmd.Int64("count"), Warmup: cmd.Duration("warmup"), Timeout: cmd.Duration("timeout"),
		Sources: cmd.Int("sources"), Mechanism: cmd.String("mechanism"), Pipeline: cmd.Int("pipeline"),
		Sessions: cmd.Int("sessions"), Hold: cmd.Duration("hold"), Slow: cmd.Int("slow"), Silent: cmd.Int("silent"), Churn: cmd.Int("churn"), Pace: cmd.Duration("pace"),
		Users: load.Users{Pattern: cmd.String("user"), First: cmd.Int("first-user"), N: cmd.Int("users")},
	}
	if o.Users.Pattern == "" {
		return o, usagef("%s: -user PATTERN is needed", cmd.Name)
	}
	host, err := target(ctx, cmd.Args().First(), &o)
	if err == nil {
		err = password(cmd, &o)
	}
	if err == nil {
		err = trust(cmd, host, &o)
	}
	if err == nil {
		err = tickets(cmd, &o)
	}
	if err == nil {
		err = pids(cmd.String("pid"), &o)
	}
	if err == nil {
		err = manifest(cmd.String("manifest"), &o)
	}
	return o, err
}

// target finds the address of HOST:PORT.
func target(ctx context.Context, text string, o *load.Options) (host string, err error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return "", usagef("%q is not HOST:PORT", text)
	}
	n, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return "", usagef("%q is not HOST:PORT", text)
	}
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return "", err
	}
	o.Target = netip.AddrPortFrom(all[0].Unmap(), uint16(n))
	return host, nil
}

// password reads the password, which other users of the machine see on a
// command line.
func password(cmd *cli.Command, o *load.Options) error {
	o.Password = cmd.String("password")
	path := cmd.String("password-file")
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	o.Password, _, _ = strings.Cut(string(text), "\n")
	o.Password = strings.TrimSuffix(o.Password, "\r")
	return err
}

// trust says whom TLS trusts.
func trust(cmd *cli.Command, host string, o *load.Options) error {
	o.Config = &tls.Config{ServerName: host, InsecureSkipVerify: cmd.Bool("insecure")}
	if name := cmd.String("server-name"); name != "" {
		o.Config.ServerName = name
	}
	path := cmd.String("ca")
	if path == "" {
		return nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	o.Config.RootCAs = x509.NewCertPool()
	if !o.Config.RootCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s: no certificate", path)
	}
	return nil
}

// pids reads the server's processes.
func pids(list string, o *load.Options) error {
	if list == "" {
		return nil
	}
	o.Server = &procfs.Tree{}
	for text := range strings.SplitSeq(list, ",") {
		pid, err := strconv.Atoi(text)
		if err != nil || pid < 1 {
			return usagef("-pid: %q is no process", text)
		}
		o.Server.Roots = append(o.Server.Roots, pid)
	}
	return nil
}

func manifest(path string, o *load.Options) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	o.Manifest, err = load.ReadManifest(f)
	return err
}

// tickets reads the credentials caches.
func tickets(cmd *cli.Command, o *load.Options) error {
	files := load.Users{Pattern: cmd.String("ccache"), First: o.Users.First}
	if files.Pattern == "" {
		return nil // not asked for
	}
	o.Tickets.Service, o.Tickets.Host = "pop", o.Config.ServerName
	if text := cmd.String("service"); text != "" {
		var ok bool
		if o.Tickets.Service, o.Tickets.Host, ok = strings.Cut(text, "@"); !ok {
			return usagef("-service: %q is not SERVICE@HOST", text)
		}
	}
	n := 1
	if strings.Contains(files.Pattern, "%") {
		n = max(1, o.Users.N)
	}
	for i := range n {
		cache, err := krb5.LoadCCache(files.Name(i))
		if err != nil {
			return err
		}
		o.Tickets.Caches = append(o.Tickets.Caches, cache)
	}
	return nil
}
