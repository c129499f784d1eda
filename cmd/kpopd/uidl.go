package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/maildrop/durable"
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
			uidlAcceptCommand(stdout, stderr),
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

// eachName calls run with each maildrop that the command line names. What went
// wrong with one does not spare the others, and the user is told.
func eachName(ctx context.Context, cmd *cli.Command, stderr io.Writer, run func(context.Context, string) error) error {
	if !cmd.Args().Present() {
		return usagef("uidl %s: a NAME is needed", cmd.Name)
	}
	var failed error
	for _, name := range cmd.Args().Slice() {
		if err := run(ctx, name); err != nil {
			fmt.Fprintf(stderr, "kpopd: uidl %s: %s: %v\n", cmd.Name, name, err)
			failed = errReported
		}
	}
	return failed
}

// openMaildirOf opens the Maildir of a maildrop. Links are not followed.
func openMaildirOf(f *config.File, name string) (*durable.Dir, error) {
	if f.Maildrop.Kind != "maildir" {
		return nil, fmt.Errorf("maildrops of the kind %s are no Maildirs", f.Maildrop.Kind)
	}
	if err := maildrop.CheckName(name); err != nil {
		return nil, err
	}
	path, err := f.Maildrop.RelPath(name)
	if err != nil {
		return nil, err
	}
	dir, err := durable.Open(f.Maildrop.Root)
	for component := range strings.SplitSeq(path, "/") {
		if err != nil {
			return nil, err
		}
		var next *durable.Dir
		next, err = dir.Open(component)
		dir.Close()
		dir = next
	}
	return dir, err
}
