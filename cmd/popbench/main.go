// Command popbench puts a load on a POP3 server and measures it.
//
// It is for capacity planning, and for comparing servers, versions and
// settings: each call is one run of one workload against one server, and its
// result is a table or a line of JSON. It reads the CPU time, the memory and the
// context switches of the server from /proc where it is told the process, and
// says when it is itself what limits the result.
//
// What it measures is a server that shares the machine and its loopback with
// the generator, or that is one hop of a fast network away: neither latencies of
// the Internet nor a server's behaviour when its mail is on a cold disk. Ratios of
// runs on one machine mean more than their figures.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/urfave/cli/v3"

	"kpopd/cmd/popbench/load"
)

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800) // its heap is small, and the CPU time is the server's
	}
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// errFound is that operations failed. The result, which was written, tells.
var errFound = errors.New("operations failed")

// A usageError is a command line that makes no sense.
type usageError struct{ error }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// run is main without the process, and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	err := program(stdout, stderr).Run(context.Background(), args)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "popbench: %v\n", err)
	if _, usage := errors.AsType[usageError](err); usage || errors.Is(err, load.ErrOptions) {
		fmt.Fprintln(stderr, "Try 'popbench help'.")
		return exitUsage
	}
	return exitFailed
}

func program(stdout, stderr io.Writer) *cli.Command {
	root := &cli.Command{
		Name:           "popbench",
		Usage:          "put a load on a POP3 server and measure it",
		Description:    about,
		Writer:         stdout,
		ErrWriter:      stderr,
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return usagef("there is no workload %q", cmd.Args().First())
			}
			return cli.ShowRootCommandHelp(cmd)
		},
	}
	for _, name := range load.Workloads() {
		root.Commands = append(root.Commands, workloadCommand(name, stdout, stderr))
	}
	root.Commands = append(root.Commands, plotCommand(stdout))
	for _, cmd := range append(root.Commands, root) {
		cmd.OnUsageError = func(_ context.Context, _ *cli.Command, err error, _ bool) error { return usageError{err} }
	}
	return root
}
