package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/urfave/cli/v3"

	"kpopd/config"
)

// errMisconfigured is a wrong configuration that the user has been told of.
var errMisconfigured = errors.New("misconfigured")

// explainTimeout bounds what the directories are asked.
const explainTimeout = 30 * time.Second

func explainCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "say which maildrop somebody would have, and why",
		ArgsUsage: "NAME",
		Description: "kpopd explain alice@CORP.EXAMPLE -config /etc/kpopd/kpopd.hcl\n\n" +
			"NAME is a principal or a login name, or with -mechanism LMTP an address that mail is\n" +
			"delivered to. Directories are asked; nothing is changed, and\n" +
			"no proof is needed. Exits with 0 if a right proof would be let in, with 1 if not, and\n" +
			"with 2 if the configuration or the command line is wrong.\n\n" +
			"Why a real login was refused is in the log, as reason=WORD.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.StringFlag{Name: "mechanism", Usage: "how NAME is proven, a `MECHANISM`: GSSAPI, KPOP, PLAIN, USER …; absent: by a ticket, if NAME is a principal that is let in, else by a password"},
			&cli.StringFlag{Name: "listener", Usage: "log in at this `LISTENER`; absent: at the first that offers the mechanism"},
			&cli.StringFlag{Name: "address", Usage: "come from this `IP` address"},
			&cli.StringFlag{Name: "authzid", Usage: "act as `NAME`: the authzid of SASL, or the USER of KPOP"},
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			q := question{name: cmd.Args().First(), mechanism: cmd.String("mechanism"), listener: cmd.String("listener"), authzid: cmd.String("authzid")}
			switch path := cmd.String("config"); {
			case cmd.Args().Len() != 1:
				return usagef("explain: one NAME is needed")
			case path == "":
				return usagef("explain: -config FILE is needed")
			default:
				if err := q.from(cmd.String("address")); err != nil {
					return err
				}
				return explain(ctx, path, q, cmd.Bool("json"), stdout, stderr)
			}
		},
	}
}

// A question is what explain is asked.
type question struct {
	name, mechanism, listener, authzid string
	address                            netip.Addr // not valid: none was named
}

func (q *question) from(address string) error {
	if address == "" {
		return nil
	}
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return usagef("explain: -address %q is no IP address", address)
	}
	q.address = addr.Unmap().WithZone("")
	return nil
}

// explain builds the parts as check does, and asks them what a login would.
func explain(ctx context.Context, path string, q question, asJSON bool, stdout, stderr io.Writer) error {
	file, diags := config.Load(path)
	if diags.HasErrors() {
		writeDiagnostics(stderr, diags)
		return errMisconfigured
	}
	b := &builder{file: file, old: &parts{}, log: slog.New(slog.DiscardHandler), dry: true}
	next, diags := b.build()
	if diags.HasErrors() {
		writeDiagnostics(stderr, diags)
		return errMisconfigured
	}
	defer next.part()
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	e := &explainer{b: b, q: q}
	if err := e.run(ctx); err != nil {
		return err
	}
	if err := e.out.write(stdout, asJSON); err != nil {
		return err
	}
	if !e.out.LetIn {
		return errReported
	}
	return nil
}

func (x *explanation) write(w io.Writer, asJSON bool) error {
	if !asJSON {
		return x.print(w)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(x)
}
