package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/urfave/cli/v3"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
	"kpopd/maildrop/migrate"
	"kpopd/maildrop/uidl"
)

func uidlExportCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "give the old server the unique-ids that clients know here",
		ArgsUsage: "NAME…",
		Description: "kpopd uidl export -config /etc/kpopd/kpopd.hcl -to dovecot alice bob\n\n" +
			"For the way back. To dovecot and courier, the server's own file in the Maildir is\n" +
			"written anew, while that server does not run; to capture, DIR/NAME.capture.",
		Flags: []cli.Flag{
			configFlag(),
			&cli.StringFlag{Name: "to", Usage: "the old `SERVER`: dovecot, courier, capture"},
			&cli.StringFlag{Name: "dir", Usage: "write into `DIR`: DIR/NAME.capture, DIR/NAME.dovecot-uidlist or DIR/NAME.courierpop3dsizelist"},
			&cli.BoolFlag{Name: "partial", Usage: "write though some messages would not keep their unique-ids"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) (err error) {
			e := &exporter{out: stdout, to: cmd.String("to"), partial: cmd.Bool("partial")}
			path, err := oneConfig(cmd)
			if err == nil {
				err = e.open(cmd.String("dir"))
			}
			if err != nil {
				return err
			}
			if e.dir != nil {
				defer e.dir.Close()
			}
			if e.mailroom, err = openMailroom(path, stderr); err != nil {
				return err
			}
			defer e.close()
			return eachName(ctx, cmd, stderr, e.run)
		},
	}
}

// An exporter is one call of uidl export.
type exporter struct {
	*mailroom
	dir     *durable.Dir // nil: each Maildir
	to      string
	partial bool
	out     io.Writer
}

// open checks where to write, and opens it.
func (e *exporter) open(dir string) (err error) {
	switch {
	case e.to != "dovecot" && e.to != "courier" && e.to != "capture":
		return usagef("uidl export: -to %s: not one of dovecot, courier, capture", e.to)
	case dir != "":
		e.dir, err = durable.Open(dir)
	case e.to == "capture":
		return usagef("uidl export: -to capture needs -dir DIR")
	}
	return err
}

// run exports one maildrop.
func (e *exporter) run(ctx context.Context, name string) error {
	drop, err := maildrop.Open(ctx, name, e.locker, e.store)
	if err != nil {
		return err
	}
	defer drop.Close()
	if e.to == "capture" {
		return e.capture(ctx, name, drop)
	}
	maildir, err := openMaildirOf(e.file, name)
	if err != nil {
		return err
	}
	defer maildir.Close()
	all, err := exported(drop, maildir)
	if err != nil {
		return err
	}
	if e.to == "courier" {
		return e.courier(name, all, maildir)
	}
	return e.dovecot(name, all, maildir)
}

// exported returns the messages with their base names.
func exported(drop *maildrop.Drop, maildir *durable.Dir) ([]migrate.Export, error) {
	list, err := uidl.Load(maildir)
	if err != nil {
		return nil, err
	}
	m, err := migrate.OpenMaildir(maildir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	bases := map[string]string{}
	for _, l := range m.Messages() {
		uid := migrate.NativeUID(l.Base)
		if row, ok := list.Find(l.Base); ok {
			uid = row.UID
		}
		bases[uid] = l.Base
	}
	var all []migrate.Export
	for _, msg := range drop.All() {
		base, ok := bases[msg.UID]
		if !ok {
			return nil, fmt.Errorf("no file of the message %s is found", msg.UID)
		}
		all = append(all, migrate.Export{Base: base, UID: msg.UID, Size: msg.Size})
	}
	return all, nil
}

func (e *exporter) dovecot(name string, all []migrate.Export, maildir *durable.Dir) error {
	const file = "dovecot-uidlist"
	var before *migrate.UIDList
	err := readIn(maildir, file, func(name string, r io.Reader) (err error) {
		before, err = migrate.ReadUIDList(name, r)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		before, err = nil, nil
	}
	if err != nil {
		return err
	}
	return e.write(name, file, len(all), maildir, func(w io.Writer) error {
		return migrate.WriteUIDList(w, all, before, uint32(time.Now().Unix()))
	})
}

func (e *exporter) courier(name string, all []migrate.Export, maildir *durable.Dir) error {
	validity := uint32(time.Now().Unix())
	lost, err := migrate.WriteSizeList(io.Discard, all, validity)
	if err != nil {
		return err
	}
	for _, l := range lost {
		fmt.Fprintf(e.out, "%s: Courier cannot show the unique-id %s\n", name, l.UID)
	}
	if len(lost) > 0 && !e.partial {
		return fmt.Errorf("%d messages would not keep their unique-ids; nothing is written without -partial", len(lost))
	}
	return e.write(name, "courierpop3dsizelist", len(all)-len(lost), maildir, func(w io.Writer) error {
		_, err := migrate.WriteSizeList(w, all, validity)
		return err
	})
}

// capture writes what a session here would show.
func (e *exporter) capture(ctx context.Context, name string, drop *maildrop.Drop) error {
	var all []migrate.Old
	for n, msg := range drop.All() {
		c, err := drop.Retrieve(ctx, n)
		if err != nil {
			return err
		}
		header, err := migrate.DigestHeader(c)
		if err := errors.Join(err, c.Close()); err != nil {
			return err
		}
		all = append(all, migrate.Old{UID: msg.UID, Size: msg.Size, Header: header})
	}
	return e.write(name, "capture", len(all), nil, func(w io.Writer) error { return migrate.WriteCapture(w, all) })
}

// write writes a file into the Maildir, or beside those of other maildrops.
func (e *exporter) write(name, file string, messages int, maildir *durable.Dir, write func(io.Writer) error) error {
	dir := maildir
	if e.dir != nil {
		dir, file = e.dir, captureName(name)+"."+file
	}
	if err := replaceFile(dir, file, write); err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s: %d messages in %s\n", name, messages, dir.Path()+"/"+file)
	return nil
}
