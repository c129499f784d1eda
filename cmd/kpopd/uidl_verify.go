package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"kpopd/maildrop"
	"kpopd/maildrop/migrate"
)

func uidlVerifyCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "compare what kpopd shows with what the old server shows",
		ArgsUsage: "NAME…",
		Description: "kpopd uidl verify -config /etc/kpopd/kpopd.hcl -url pop3s://old.example \\\n    -user '%s*master' -password-file master.secret alice bob\n\n" +
			"Number, order, unique-ids and sizes must be the same; what differs is printed, and\n" +
			"the exit status is 1. With -file in place of -url, captures are compared.",
		Flags: append(append([]cli.Flag{configFlag()}, oldServerFlags()...),
			&cli.StringFlag{Name: "file", Usage: "the capture, a `FILE`, %s in it being NAME"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			v := &verifier{out: stdout, file: cmd.String("file")}
			path, err := oneConfig(cmd)
			if err != nil {
				return err
			}
			if v.file == "" {
				if v.old, err = newOldServer(cmd); err != nil {
					return err
				}
			}
			if v.mailroom, err = openMailroom(path, stderr); err != nil {
				return err
			}
			defer v.close()
			return eachName(ctx, cmd, stderr, v.run)
		},
	}
}

// A verifier is one call of uidl verify.
type verifier struct {
	*mailroom
	old  *oldServer // nil: file
	file string
	out  io.Writer
}

// run compares one maildrop.
func (v *verifier) run(ctx context.Context, name string) error {
	old, err := v.shown(ctx, name)
	if err != nil {
		return err
	}
	drop, err := maildrop.Open(ctx, name, v.locker, v.store)
	if err != nil {
		return err
	}
	defer drop.Close()
	var here []string
	for _, m := range drop.All() {
		here = append(here, fmt.Sprintf("%s %d", m.UID, m.Size))
	}
	if n := v.print(name, old, here); n > 0 {
		return fmt.Errorf("%d of %d messages differ", n, max(len(old), len(here)))
	}
	fmt.Fprintf(v.out, "%s: %d messages, all the same\n", name, len(here))
	return nil
}

// shown returns what the old server shows.
func (v *verifier) shown(ctx context.Context, name string) ([]string, error) {
	var old []migrate.Old
	if v.old != nil {
		client, err := v.old.dial(ctx, name)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		if old, err = client.Messages(); err == nil {
			err = client.Quit()
		}
		if err != nil {
			return nil, err
		}
	} else {
		f, err := os.Open(strings.ReplaceAll(v.file, "%s", captureName(name)))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if old, err = migrate.ReadCapture(f.Name(), io.LimitReader(f, maxSource)); err != nil {
			return nil, err
		}
	}
	all := make([]string, len(old))
	for i, o := range old {
		all[i] = fmt.Sprintf("%s %d", o.UID, o.Size)
	}
	return all, nil
}

// print prints what differs, as diff does, number by number, and returns how
// much that is.
func (v *verifier) print(name string, old, here []string) (differ int) {
	const nothing = "-"
	for i := range max(len(old), len(here)) {
		was, is := nothing, nothing
		if i < len(old) {
			was = old[i]
		}
		if i < len(here) {
			is = here[i]
		}
		if was == is {
			continue
		}
		if differ++; was != nothing {
			fmt.Fprintf(v.out, "%s: < %d %s\n", name, i+1, was)
		}
		if is != nothing {
			fmt.Fprintf(v.out, "%s: > %d %s\n", name, i+1, is)
		}
	}
	return differ
}
