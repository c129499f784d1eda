package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
	"kpopd/maildrop/migrate"
	"kpopd/maildrop/uidl"
)

func uidlImportCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "give messages the unique-ids that they had on the old server",
		ArgsUsage: "NAME…",
		Description: "kpopd uidl import -config /etc/kpopd/kpopd.hcl -from dovecot alice bob\n\n" +
			"NAMEs are maildrops, whose mail is here already. The unique-ids are written into\n" +
			"the Maildir, file kpopd-uidl; or into the mbox, as fields X-UIDL. Exits with 1 where\n" +
			"a message would not keep its own.\n\n" +
			"From dovecot and courier, the Maildir brings the old server's own file along.\n" +
			"From capture, -file says where the files of 'kpopd uidl capture' are, and from uw\n" +
			"where the mboxes are that UW imapd or Panda kept; messages are found by size and\n" +
			"header: those that are not certain are listed.",
		Flags: importFlags(),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			im := &importer{out: stdout, from: cmd.String("from"), path: cmd.String("file"), hidden: cmd.String("pop3-deleted-flag"),
				partial: cmd.Bool("partial"), replace: cmd.Bool("replace"), dry: cmd.Bool("dry-run")}
			if err := im.settings(cmd); err != nil {
				return err
			}
			path, err := oneConfig(cmd)
			if err != nil {
				return err
			}
			if im.mailroom, err = openMailroom(path, stderr); err != nil {
				return err
			}
			defer im.close()
			return eachName(ctx, cmd, stderr, im.run)
		},
	}
}

func importFlags() []cli.Flag {
	return []cli.Flag{
		configFlag(),
		&cli.StringFlag{Name: "from", Usage: "the old `SERVER`: dovecot, courier, tpop3d, uw, capture"},
		&cli.StringFlag{Name: "file", Usage: "the old server's `FILE`, %s in it being NAME; absent: the one in the Maildir"},
		&cli.StringFlag{Name: "pop3-uidl-format", Value: migrate.DefaultFormat, Usage: "what Dovecot had as pop3_uidl_format, a `FORMAT`"},
		&cli.StringFlag{Name: "pop3-uidl-duplicates", Value: "allow", Usage: "what Dovecot had as pop3_uidl_duplicates: `allow` or rename"},
		&cli.StringFlag{Name: "pop3-deleted-flag", Usage: "what Dovecot had as pop3_deleted_flag, a `KEYWORD`: its messages are hidden"},
		&cli.BoolFlag{Name: "partial", Usage: "write what is certain, though some messages would not keep their unique-ids"},
		&cli.BoolFlag{Name: "replace", Usage: "write other unique-ids than an import before, or than clients were shown here"},
		&cli.BoolFlag{Name: "dry-run", Usage: "write nothing"},
	}
}

// An importer is one call of uidl import.
type importer struct {
	*mailroom
	out                   io.Writer
	from, path, hidden    string
	dovecot               migrate.DovecotPOP3
	partial, replace, dry bool
}

// settings reads and checks what the flags say of the old server.
func (im *importer) settings(cmd *cli.Command) (err error) {
	switch im.from {
	case "dovecot", "courier", "tpop3d":
	case "capture", "uw":
		if im.path == "" {
			return usagef("uidl import: -from %s needs -file FILE, %%s in it being NAME", im.from)
		}
	case "":
		return usagef("uidl import: -from SERVER is needed")
	default:
		return usagef("uidl import: -from %s: not one of dovecot, courier, tpop3d, uw, capture", im.from)
	}
	format := cmd.String("pop3-uidl-format")
	if im.from == "uw" && !cmd.IsSet("pop3-uidl-format") {
		format = migrate.UWFormat
	}
	if im.dovecot.Format, err = migrate.ParseFormat(format); err != nil {
		return usageError{fmt.Errorf("uidl import: %w", err)}
	}
	switch d := cmd.String("pop3-uidl-duplicates"); d {
	case "allow", "rename":
		im.dovecot.Rename = d == "rename"
	default:
		return usagef("uidl import: -pop3-uidl-duplicates %s: neither allow nor rename", d)
	}
	return nil
}

// run imports the unique-ids of one maildrop.
func (im *importer) run(ctx context.Context, name string) error {
	if err := maildrop.CheckName(name); err != nil {
		return err
	}
	return im.with(ctx, name, func(l maildrop.Lease) error {
		if im.file.Maildrop.Kind == "mbox" {
			return im.intoMbox(ctx, name, l)
		}
		return im.locked(ctx, name)
	})
}

func (im *importer) locked(ctx context.Context, name string) error {
	dir, err := openMaildirOf(im.file, name)
	if err != nil {
		return err
	}
	defer dir.Close()
	m, err := migrate.OpenMaildir(dir)
	if err != nil {
		return err
	}
	defer m.Close()
	r, err := im.find(ctx, name, m)
	if err != nil {
		return err
	}
	im.print(name, r)
	if len(r.Ambiguous) > 0 && !im.partial {
		return im.notAll(r)
	}
	before, err := uidl.Load(dir)
	if err == nil {
		err = r.Keep(before, im.replace)
	}
	if err == nil && !im.replace {
		err = im.unserved(name, r.List)
	}
	if err != nil || im.dry {
		return err
	}
	return r.List.Store(dir)
}

// unserved refuses a list that gives other unique-ids to messages than clients
// were shown here last.
func (im *importer) unserved(name string, list *uidl.List) error {
	place, err := im.file.Maildrop.RelPath(name)
	if err != nil {
		return err
	}
	last := im.parts.indexes.Get(place)
	if last == nil {
		return nil
	}
	others := 0
	for i, m := range last.Messages() {
		base, _, _ := strings.Cut(last.Name(i), ":")
		if row, ok := list.Find(base); ok && row.UID != m.UID {
			others++
		}
	}
	if others > 0 {
		return shownAlready(others)
	}
	return nil
}

func (im *importer) notAll(r *migrate.Result) error {
	return fmt.Errorf("%d messages would not keep their unique-ids; nothing is written without -partial", len(r.Ambiguous))
}

func shownAlready(n int) error {
	return fmt.Errorf("%d messages were shown here with other unique-ids already; nothing is written without -replace", n)
}

// find finds the old unique-ids.
func (im *importer) find(ctx context.Context, name string, m *migrate.Maildir) (*migrate.Result, error) {
	var old []migrate.Old
	var err error
	switch im.from {
	case "dovecot":
		old, err = im.dovecotMessages(name, m)
	case "courier":
		err = im.read(name, m.Dir, "courierpop3dsizelist", func(name string, r io.Reader) (err error) {
			old, err = migrate.ReadSizeList(name, r)
			return err
		})
	case "tpop3d":
		old = migrate.DigestNames(m.Messages())
	default:
		if old, err = im.copied(name, m.Dir); err != nil {
			return nil, err
		}
		local, err := m.Look(ctx)
		if err != nil {
			return nil, err
		}
		return migrate.Match(old, local)
	}
	if err != nil {
		return nil, err
	}
	return migrate.ByName(old, m.Messages())
}

// copied returns what the old server had of mail that was copied here.
func (im *importer) copied(name string, dir *durable.Dir) (old []migrate.Old, err error) {
	read := im.readMbox // uw
	if im.from == "capture" {
		read = migrate.ReadCapture
	}
	err = im.read(name, dir, "", func(name string, r io.Reader) (err error) {
		old, err = read(name, r)
		return err
	})
	return old, err
}

func (im *importer) readMbox(name string, r io.Reader) ([]migrate.Old, error) {
	return migrate.ReadMbox(name, r, im.dovecot.Format)
}

func (im *importer) dovecotMessages(name string, m *migrate.Maildir) (old []migrate.Old, err error) {
	pop3 := im.dovecot
	if im.hidden != "" {
		var letter byte
		err := readIn(m.Dir, "dovecot-keywords", func(name string, r io.Reader) (err error) {
			letter, err = migrate.ReadKeywords(name, r, im.hidden)
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if letter != 0 {
			hidden := m.WithFlag(letter)
			pop3.Hidden = func(base string) bool { return hidden[base] }
		}
	}
	err = im.read(name, m.Dir, "dovecot-uidlist", func(name string, r io.Reader) error {
		list, err := migrate.ReadUIDList(name, r)
		if err == nil {
			old, err = list.Messages(pop3)
		}
		return err
	})
	return old, err
}

// maxSource bounds the old server's file.
const maxSource = 1 << 30

// read reads the old server's file: the one in the Maildir, or what -file says.
func (im *importer) read(name string, dir *durable.Dir, file string, fn func(string, io.Reader) error) error {
	if im.path == "" {
		return readIn(dir, file, fn)
	}
	f, err := os.Open(strings.ReplaceAll(im.path, "%s", captureName(name)))
	if err != nil {
		return err
	}
	defer f.Close()
	return fn(f.Name(), io.LimitReader(f, maxSource))
}

// readIn reads a file of a Maildir, a regular one.
func readIn(dir *durable.Dir, name string, fn func(string, io.Reader) error) error {
	f, err := dir.OpenFile(name, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Size(); err != nil {
		return err
	}
	return fn(dir.Path()+"/"+name, io.LimitReader(f, maxSource))
}

// print says what was found.
func (im *importer) print(name string, r *migrate.Result) {
	hidden := 0
	for _, row := range r.List.All() {
		if row.Hidden {
			hidden++
		}
	}
	fmt.Fprintf(im.out, "%s: %d messages keep their unique-ids (%d of them hidden), %d are new, %d gone, %d ambiguous, %d of another size\n",
		name, r.List.Len(), hidden, len(r.New), len(r.Gone), len(r.Ambiguous), len(r.Resized))
	for _, why := range r.Ambiguous {
		fmt.Fprintf(im.out, "%s: ambiguous: %s\n", name, why)
	}
	const enough = 20 // verify has them all
	for i, why := range r.Resized {
		if i == enough {
			fmt.Fprintf(im.out, "%s: another size: and %d more\n", name, len(r.Resized)-i)
			break
		}
		fmt.Fprintf(im.out, "%s: another size: %s\n", name, why)
	}
}
