package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"kpopd/maildrop"
	"kpopd/server"
)

func undeleteCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "undelete",
		Usage:     "list the deleted messages of a maildrop that are in quarantine or hidden, or put them back",
		ArgsUsage: "MAILDROP",
		Description: "kpopd undelete -config /etc/kpopd/kpopd.hcl alice\n" +
			"kpopd undelete -config /etc/kpopd/kpopd.hcl -since 2h alice\n\n" +
			"Without -uid, -since or -all it lists. A message comes back with the unique-id that it\n" +
			"had: clients that have it do not download it again, and may delete it as they did\n" +
			"before. Nobody may have the maildrop open. Run it as the server's user.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.StringSliceFlag{Name: "uid", Usage: "restore the message with this `UNIQUE-ID`; may be repeated"},
			&cli.StringFlag{Name: "since", Usage: "restore what was deleted since then, a `TIME` such as 2026-11-24, 2026-11-24T05:47:00Z or 2h, which is two hours ago"},
			&cli.BoolFlag{Name: "all", Usage: "restore all"},
		},
		// A unique-id may hold a comma.
		DisableSliceFlagSeparator: true,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			path := cmd.String("config")
			switch {
			case path == "":
				return usagef("undelete: -config FILE is needed")
			case cmd.Args().Len() != 1:
				return usagef("undelete: one MAILDROP is needed")
			}
			uids := cmd.StringSlice("uid")
			want, err := wanted(uids, cmd.String("since"), cmd.Bool("all"), time.Now())
			if err != nil {
				return err
			}
			return undelete(ctx, path, cmd.Args().First(), want, uids, stdout, stderr)
		},
	}
}

// wanted says which messages the flags ask for. nil: none, they are to be
// listed.
func wanted(uids []string, since string, all bool, now time.Time) (func(maildrop.Kept) bool, error) {
	given := 0
	for _, yes := range []bool{len(uids) > 0, since != "", all} {
		if yes {
			given++
		}
	}
	switch {
	case given > 1:
		return nil, usagef("undelete: only one of -uid, -since and -all goes")
	case len(uids) > 0:
		return func(k maildrop.Kept) bool { return slices.Contains(uids, k.UID) }, nil
	case all:
		return func(maildrop.Kept) bool { return true }, nil
	case since != "":
		from, err := parseSince(since, now)
		return func(k maildrop.Kept) bool { return !k.Deleted.Before(from) }, err
	}
	return nil, nil
}

// parseSince reads a time, a day in UTC, or how long ago it was.
func parseSince(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("undelete: -since %q is no time such as 2026-11-24, 2026-11-24T05:47:00Z or 2h", text)
}

func undelete(ctx context.Context, path, name string, want func(maildrop.Kept) bool, uids []string, stdout, stderr io.Writer) error {
	room, err := openMailroom(path, stderr)
	if err != nil {
		return err
	}
	return firstError(room.undelete(ctx, name, want, uids, stdout), room.close())
}

// undelete lists, or restores what want accepts, among which are to be uids.
func (m *mailroom) undelete(ctx context.Context, name string, want func(maildrop.Kept) bool, uids []string, stdout io.Writer) error {
	store, ok := m.store.(maildrop.Restorer)
	if !ok {
		return fmt.Errorf("undelete: a maildrop %q keeps no deleted mail", m.file.Maildrop.Kind)
	}
	return m.with(ctx, name, func(l maildrop.Lease) error {
		if want == nil {
			kept, err := store.Kept(ctx, l)
			return firstError(printKept(stdout, kept), err)
		}
		back, err := store.Restore(ctx, l, want)
		for _, k := range back {
			fmt.Fprintf(stdout, "restored %s\n", k.UID)
			err = firstError(err, m.audit.Record(ctx, nil, messageEvent(server.EventRestored, name, k.UID)))
			uids = slices.DeleteFunc(uids, func(uid string) bool { return uid == k.UID })
		}
		switch {
		case err == nil && len(uids) > 0:
			err = fmt.Errorf("undelete: %q has no deleted message %q", name, uids[0])
		case err == nil && len(back) == 0:
			err = fmt.Errorf("undelete: %q has no such deleted message", name)
		}
		return err
	})
}

// printKept lists deleted messages.
func printKept(w io.Writer, kept []maildrop.Kept) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	if len(kept) > 0 {
		fmt.Fprintln(t, "deleted\tkept until\toctets\tunique-id")
	}
	for _, k := range kept {
		deleted, until := k.Deleted.UTC().Format(time.RFC3339), k.Until.Format(time.DateOnly)
		if k.Hidden {
			deleted, until = "hidden", "-"
		}
		fmt.Fprintln(t, strings.Join([]string{deleted, until, fmt.Sprint(k.Size), k.UID}, "\t"))
	}
	return t.Flush()
}
