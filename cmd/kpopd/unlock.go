package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/urfave/cli/v3"

	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/maildrop/lease"
)

func unlockCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "unlock",
		Usage:     "take a maildrop from the session that has it open",
		ArgsUsage: "MAILDROP",
		Description: "kpopd unlock alice -config /etc/kpopd/kpopd.hcl\n\nThe session removes nothing any more, and the next login has the maildrop, even if\n" +
			"the process that had it is stuck. What it is just removing is waited for. MAILDROP\nis a name as in \"kpopd locks\". Exits with 1 where nobody has it.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.Uint64Flag{Name: "token", Usage: "only if the session has this `TOKEN`, as \"kpopd locks\" shows it"},
			&cli.DurationFlag{Name: "wait", Value: 30 * time.Second, Usage: "wait this `DURATION` for a removal that is under way"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Len() != 1 {
				return usagef("unlock: one MAILDROP is needed")
			}
			file, err := loadFor(cmd, stderr)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, cmd.Duration("wait"))
			defer cancel()
			return unlock(ctx, file, cmd.Args().First(), cmd.Uint64("token"), stdout)
		},
	}
}

// unlock takes a maildrop from its session.
func unlock(ctx context.Context, file *config.File, name string, token uint64, stdout io.Writer) error {
	place, err := file.Maildrop.RelPath(name)
	if err != nil {
		return usagef("unlock: %q: %w", name, err)
	}
	k, err := lease.OpenExisting(file.LocksDir())
	if errors.Is(err, fs.ErrNotExist) {
		err = maildrop.ErrNotLocked // nobody has ever locked one
	}
	if err != nil {
		return fmt.Errorf("unlock %q: %w", name, err)
	}
	defer k.Close()
	was, _, err := k.Holder(lockName(place)) // for the words only
	if err == nil {
		err = k.Fence(ctx, lockName(place), token)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w; try again, or end the process %d", err, was.PID)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s is free: it was taken from the connection %q of process %d\n", name, was.Conn, was.PID)
	return err
}
