// Command kpopd is a POP3 and KPOP server for networks with Kerberos.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"
)

// version is set by the linker for a release.
var version = "devel"

func main() { os.Exit(run(os.Args, os.Stdout, os.Stderr)) }

// The exit statuses. A script can tell a wrong configuration from a wrong
// command line.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// errReported is an error that the user has been told of.
var errReported = errors.New("reported")

// run is main without the process, and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	err := program(stdout, stderr).Run(context.Background(), args)
	var usage usageError
	if exit, ok := errors.AsType[exitError](err); ok {
		if !errors.Is(err, errReported) {
			fmt.Fprintf(stderr, "kpopd: %v\n", err)
		}
		return exit.status
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errMisconfigured):
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "kpopd: %v\nTry 'kpopd help'.\n", err)
		return exitUsage
	case !errors.Is(err, errReported):
		fmt.Fprintf(stderr, "kpopd: %v\n", err)
	}
	return exitFailed
}

// A usageError is a command line that makes no sense.
type usageError struct{ error }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

func program(stdout, stderr io.Writer) *cli.Command {
	root := &cli.Command{
		Name:                  "kpopd",
		Usage:                 "POP3 and KPOP server for networks with Kerberos",
		Writer:                stdout,
		ErrWriter:             stderr,
		ExitErrHandler:        func(context.Context, *cli.Command, error) {},
		EnableShellCompletion: true,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return usagef("there is no command %q", cmd.Args().First())
			}
			return cli.ShowRootCommandHelp(cmd)
		},
		Commands: []*cli.Command{
			serveCommand(stdout, stderr),
			checkCommand(stdout, stderr),
			explainCommand(stdout, stderr),
			deliverCommand(os.Stdin, stderr),
			locksCommand(stdout, stderr),
			unlockCommand(stdout, stderr),
			expireCommand(stdout, stderr),
			undeleteCommand(stdout, stderr),
			userCommand(stdout, stderr),
			uidlCommand(stdout, stderr),
			relayCommand(stdout),
			versionCommand(stdout),
		},
	}
	for _, cmd := range append(root.Commands, root) {
		cmd.OnUsageError = func(_ context.Context, _ *cli.Command, err error, _ bool) error {
			if cmd.Name == "deliver" {
				return exitError{exUsage, err}
			}
			return usageError{err}
		}
	}
	return root
}

// configFlag is the -config of all commands that read one.
func configFlag() cli.Flag {
	return &cli.StringFlag{
		Name:  "config",
		Usage: "read the configuration from `FILE`, or from all *.hcl in a directory",
	}
}

// noArguments refuses what stands behind the flags.
func noArguments(cmd *cli.Command) error {
	if cmd.Args().Present() {
		return usagef("%s: unexpected argument %q", cmd.Name, cmd.Args().First())
	}
	return nil
}
