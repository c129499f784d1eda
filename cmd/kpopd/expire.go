package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v3"

	"kpopd/maildrop"
	"kpopd/server"
)

func expireCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "expire",
		Usage:     "remove mail that is too old, and what was in quarantine long enough",
		ArgsUsage: "[MAILDROP...]",
		Description: "kpopd expire -config /etc/kpopd/kpopd.hcl -dry-run\n\n" +
			"Removes what the retention blocks say from all maildrops that there are, or from\n" +
			"those that are named, and prints a line for each message. A maildrop that somebody\n" +
			"has open is left for the next time. The server does the same every sweep_interval.\n" +
			"Run it as the server's user.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.BoolFlag{Name: "dry-run", Usage: "remove nothing, print what would be"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			path := cmd.String("config")
			if path == "" {
				return usagef("expire: -config FILE is needed")
			}
			return expire(ctx, path, cmd.Bool("dry-run"), cmd.Args().Slice(), stdout, stderr)
		},
	}
}

func expire(ctx context.Context, path string, dry bool, names []string, stdout, stderr io.Writer) (err error) {
	room, err := openMailroom(path, stderr)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, room.close()) }()
	store, ok := room.store.(maildrop.Sweeper)
	if !ok {
		return fmt.Errorf("expire: a maildrop %q keeps its mail", room.file.Maildrop.Kind)
	}
	s := &sweeper{file: room.file, store: store, locker: room.locker, dry: dry,
		record: func(ctx context.Context, e server.Event) error { return room.audit.Record(ctx, nil, e) },
		says: func(name string, m *maildrop.Swept, err error) {
			if m == nil {
				fmt.Fprintf(stderr, "kpopd: %s: %v\n", server.Clip(name, 500), err)
				return
			}
			fmt.Fprintln(stdout, sweptLine(name, *m, dry))
		},
	}
	if len(names) > 0 {
		return s.named(ctx, names)
	}
	return s.all(ctx)
}

// sweptLine is what is printed of a message.
func sweptLine(name string, m maildrop.Swept, dry bool) string {
	verb := map[bool]string{true: "would remove", false: "removed"}[dry]
	what := "delivered " + m.Delivered.UTC().Format(time.DateOnly)
	if m.Quarantined {
		what = "from the quarantine"
	}
	return fmt.Sprintf("%s: %s %s, %s", server.Clip(name, 500), verb, m.UID, what)
}

// firstError is err, or else what came after it.
func firstError(err, after error) error {
	if err != nil {
		return err
	}
	return after
}
