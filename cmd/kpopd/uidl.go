package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v3"
)

func uidlCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "uidl",
		Usage: "keep the unique-ids that clients know when mail moves here",
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return usagef("uidl: there is no command %q", cmd.Args().First())
			}
			return cli.ShowSubcommandHelp(cmd)
		},
		Commands: []*cli.Command{
			uidlCaptureCommand(stdout, stderr),
			uidlImportCommand(stdout, stderr),
			uidlVerifyCommand(stdout, stderr),
			uidlExportCommand(stdout, stderr),
		},
	}
}

// oneConfig returns what -config says.
func oneConfig(cmd *cli.Command) (string, error) {
	path := cmd.String("config")
	if path == "" {
		return "", usagef("uidl %s: -config FILE is needed", cmd.Name)
	}
	return path, nil
}
