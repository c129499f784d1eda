package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"kpopd/cmd/popbench/load"
)

// workloadCommand is a run of a workload.
func workloadCommand(name string, stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      name,
		Usage:     usages[name],
		ArgsUsage: "HOST:PORT",
		Flags:     append(flags(), own(name)...),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			o, err := options(ctx, cmd)
			if err != nil {
				return err
			}
			res, err := load.Run(ctx, o)
			if err != nil {
				return err
			}
			res.Label = cmd.String("label")
			if cmd.IsSet("x") {
				x := cmd.Float("x")
				res.X = &x
			}
			return report(stdout, res, cmd.Bool("json"))
		},
	}
}

var usages = map[string]string{
	"login":  "sessions of login, STAT and QUIT",
	"check":  "sessions of login, STAT, UIDL and QUIT",
	"list":   "sessions of login, LIST and QUIT",
	"first":  "as check, each account once: maildrops that the server has never seen",
	"retr":   "messages: each client retrieves those of one session round and round",
	"gssapi": "login by SASL GSSAPI with a ticket, STAT and QUIT",
	"kpop":   "login by KPOP with a ticket, STAT and QUIT",
	"idle":   "sessions that are held, and the memory of each",
	"abuse":  "as login, without and with clients that abuse the server",
	"drain":  "messages: each account is emptied by RETR, DELE and QUIT",
}

// report writes a result.
func report(w io.Writer, res *load.Result, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(w).Encode(res); err != nil {
			return err
		}
	} else {
		table(w, res)
	}
	if res.Errors > 0 {
		return fmt.Errorf("%w: %d, the first one: %s", errFound, res.Errors, res.Error)
	}
	return nil
}
