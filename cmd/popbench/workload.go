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
		Name:        name,
		Usage:       workloads[name].usage,
		ArgsUsage:   "HOST:PORT",
		Description: workloads[name].help(),
		Flags:       append(flags(), own(name)...),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			o, err := options(ctx, cmd)
			if err != nil {
				return err
			}
			show, wipe := progressBar(stderr, cmd.Bool("q"))
			o.Progress = show
			res, err := load.Run(ctx, o)
			wipe()
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
