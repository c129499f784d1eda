package main

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"kpopd/maildrop"
	"kpopd/server"
)

func uidlAcceptCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "accept",
		Usage:     "let clients see the unique-ids that a maildrop has now",
		ArgsUsage: "NAME…",
		Description: "kpopd uidl accept -config /etc/kpopd/kpopd.hcl alice\n\n" +
			"For a maildrop that is refused with the reason unique-ids-would-change, as err in the\n" +
			"log has it, if the old unique-ids cannot be had back: its clients fetch again what they\n" +
			"left there. Nobody may have it open. Run it as the server's user.",
		Flags: []cli.Flag{configFlag()},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			path, err := oneConfig(cmd)
			if err != nil {
				return err
			}
			room, err := openMailroom(path, stderr)
			if err != nil {
				return err
			}
			err = eachName(ctx, cmd, stderr, func(ctx context.Context, name string) error { return room.accept(ctx, name, stdout) })
			return firstError(err, room.close())
		},
	}
}

// accept forgets which unique-ids a maildrop had when it was served last.
func (m *mailroom) accept(ctx context.Context, name string, stdout io.Writer) error {
	store, ok := m.store.(interface {
		AcceptUIDs(name string) (bool, error)
	})
	if !ok {
		return fmt.Errorf("of a maildrop %q nothing is remembered", m.file.Maildrop.Kind)
	}
	return m.with(ctx, name, func(maildrop.Lease) error {
		known, err := store.AcceptUIDs(name)
		if err != nil {
			return err
		}
		if !known {
			_, err = fmt.Fprintf(stdout, "%s: nothing is remembered of it, its next session is served in any case\n", name)
			return err
		}
		fmt.Fprintf(stdout, "%s: its next session is served with the unique-ids that there are then\n", name)
		return m.audit.Record(ctx, nil, server.Event{Kind: server.EventAccepted, Maildrop: name})
	})
}
