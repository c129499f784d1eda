package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"

	"kpopd/config"
)

func checkCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "check a configuration, and the files that it names",
		Description: "kpopd check -config /etc/kpopd/kpopd.hcl\n\nExits with 0 if it is right, else with 1 and diagnostics. Ports, state_dir and\n" +
			"the files of log and audit are left alone: whether they can be used, serve finds\n" +
			"out. Directories, KDCs and issuers are not asked: explain asks directories, and the\n" +
			"log of serve says what is wrong with the others.",
		Flags: []cli.Flag{configFlag()},
		Action: func(_ context.Context, cmd *cli.Command) error {
			if err := noArguments(cmd); err != nil {
				return err
			}
			path := cmd.String("config")
			if path == "" {
				return usagef("check: -config FILE is needed")
			}
			return check(path, stdout, stderr)
		},
	}
}

// check loads a configuration and builds its parts, but opens no socket and
// leaves the state directory alone: whoever checks is not always who serves.
func check(path string, stdout, stderr io.Writer) error {
	file, diags := config.Load(path)
	if !diags.HasErrors() {
		b := &builder{file: file, old: &parts{}, log: slog.New(slog.DiscardHandler), dry: true}
		_, more := b.build()
		diags = append(diags, more...)
	}
	writeDiagnostics(stderr, diags)
	if diags.HasErrors() {
		return errReported
	}
	fmt.Fprintf(stdout, "%s: the configuration is right\n", path)
	return nil
}

// writeDiagnostics writes them as the terminal, if it is one, can show them.
func writeDiagnostics(w io.Writer, diags config.Diagnostics) {
	width, color := 0, false
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			width, color = int(size.Col), os.Getenv("NO_COLOR") == ""
		}
	}
	diags.WriteText(w, width, color)
}
