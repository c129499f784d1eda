package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"kpopd/auth"
	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/server/lmtp"
)

// The exit statuses of sysexits.h that mail transfer agents know. They return
// mail for all others but exTempFail; what an administrator can repair is that.
const (
	exUsage       = 64
	exDataErr     = 65
	exNoUser      = 67
	exUnavailable = 69
	exTempFail    = 75
)

// An exitError ends the program with a status of its own.
type exitError struct {
	status int
	error
}

func (e exitError) Unwrap() error { return e.error }

func deliverCommand(stdin io.Reader, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "deliver",
		Usage:     "file a message from standard input, for mail transfer agents",
		ArgsUsage: "[USER]...",
		Description: "kpopd deliver -config /etc/kpopd/kpopd.hcl -f SENDER -d USER <message\n\n" +
			"USER is a name, or an address, that the account rules give a maildrop; without any, the\n" +
			"user who calls. Exits with 0 once the message is on the disk, or as in sysexits.h: 64 for a\n" +
			"wrong command line, 65 for a loop, 67 for nobody's name, 69 for a full maildrop, and 75, try\n" +
			"again, for all else.",
		Flags: deliverFlags(),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			d := deliverer{stdin: stdin, stderr: stderr, sender: cmd.String("f"), hasSender: cmd.IsSet("f"), original: cmd.String("a"),
				users: append(cmd.StringSlice("d"), cmd.Args().Slice()...), delimiter: cmd.String("delimiter"),
				existing: cmd.Bool("existing"), overQuota: cmd.String("over-quota")}
			if err := d.check(cmd.String("config")); err != nil {
				return exitError{exUsage, err}
			}
			return d.within(ctx, cmd.Duration("timeout"), cmd.String("config"))
		},
	}
}

func deliverFlags() []cli.Flag {
	return []cli.Flag{
		configFlag(),
		&cli.StringFlag{Name: "f", Usage: "the `SENDER`; absent: as the message says in its first line or Return-Path"},
		&cli.StringFlag{Name: "a", Usage: "the `ADDRESS` that the user had at first"},
		&cli.StringSliceFlag{Name: "d", Usage: "deliver to `USER`"},
		&cli.StringFlag{Name: "delimiter", Usage: "the first of these `CHARACTERS` ends the user's name"},
		&cli.BoolFlag{Name: "existing", Usage: "only to maildrops that are there"},
		&cli.StringFlag{Name: "over-quota", Value: "temporary", Usage: "a full maildrop is `temporary` or permanent"},
		&cli.DurationFlag{Name: "timeout", Value: 5 * time.Minute, Usage: "give up after this time"},
	}
}

// A deliverer is one run of deliver.
type deliverer struct {
	stdin            io.Reader
	stderr           io.Writer
	sender, original string
	hasSender        bool
	users            []string
	delimiter        string
	existing         bool
	overQuota        string
	resolve          func(context.Context, lmtp.Address, auth.Peer) (lmtp.Target, error)
	distribute       func(context.Context, []maildrop.Delivery, io.Reader) []error
}

// check looks at the command line.
func (d *deliverer) check(path string) error {
	switch {
	case path == "":
		return usagef("deliver: -config FILE is needed")
	case d.overQuota != "temporary" && d.overQuota != "permanent":
		return usagef("deliver: -over-quota is temporary or permanent")
	case len(d.users) > 0:
		return nil
	}
	me, err := user.Current()
	if err != nil {
		return usagef("deliver: who calls is not known (%v): name a user with -d", err)
	}
	d.users = []string{me.Username}
	return nil
}

// within runs the delivery and waits for it no longer than told: neither a
// message whose end does not come nor a disk holds a transfer agent for ever.
// Exim returns the mail of a program that a signal has ended, as when the
// machine stops: here one has the message put off.
func (d *deliverer) within(ctx context.Context, timeout time.Duration, path string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	defer stop()
	late := time.After(timeout)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- d.run(ctx, path) }()
	why := "a signal came"
	select {
	case err := <-done:
		return err
	case <-late:
		why = fmt.Sprintf("not done within %v", timeout)
		cancel()
	case <-ctx.Done():
	}
	select {
	case err := <-done: // it may be there all the same
		return err
	case <-time.After(deliverGrace): // the process ends, and the reading with it
		return exitError{exTempFail, fmt.Errorf("deliver: %s", why)}
	}
}

// deliverGrace is how long a delivery that is given up may take to clean up.
const deliverGrace = time.Second

// run delivers the message to all users, each of whom it tells of on its own.
func (d *deliverer) run(ctx context.Context, path string) error {
	parts, err := d.build(path)
	if err != nil {
		return err
	}
	defer parts.part()
	h := lmtp.NewHeader(d.stdin)
	var all []maildrop.Delivery
	worst := 0
	for _, name := range d.users {
		one, err := d.delivery(ctx, name, h)
		if err != nil {
			worst = max(worst, d.tell(name, err))
			continue
		}
		all = append(all, one)
	}
	if len(all) > 0 {
		for i, err := range d.send(ctx, h, all) {
			if err != nil {
				worst = max(worst, d.tell(all[i].Name, err))
			}
		}
	}
	if worst > 0 {
		return exitError{worst, errReported}
	}
	return nil
}

// build builds no more than a delivery needs: the user that runs it may read
// neither keys nor the files of users.
func (d *deliverer) build(path string) (*parts, error) {
	file, diags := config.Load(path)
	var b *builder
	if !diags.HasErrors() {
		b = &builder{file: file, old: &parts{}, next: &parts{stateDir: file.StateDir}, log: slog.New(slog.DiscardHandler), dry: true}
		b.maildrops()
		b.attributes()
		diags = append(diags, config.DiagnosticsOf(errors.Join(b.errs...))...)
	}
	if diags.HasErrors() {
		writeDiagnostics(d.stderr, diags)
		return nil, exitError{exTempFail, errReported}
	}
	// Journals of mboxes are in the state directory, and what root makes anywhere,
	// the server cannot read.
	if file.Maildrop.Kind == "mbox" || os.Geteuid() == 0 {
		if err := sameUser(file.StateDir); err != nil {
			b.next.part()
			return nil, exitError{exTempFail, err}
		}
	}
	l := &config.Listener{Delivery: config.Delivery{Recipients: config.KnownRules, RecipientDelimiter: d.delimiter}}
	if d.existing {
		l.Recipients = config.KnownMaildrops
	}
	d.resolve = b.resolver(l)
	d.distribute = func(ctx context.Context, all []maildrop.Delivery, text io.Reader) []error {
		return maildrop.Distribute(ctx, b.store, os.TempDir(), all, text)
	}
	return b.next, nil
}

// attributes builds the directories, where a rule needs what they know.
func (b *builder) attributes() {
	if !b.file.AsksDirectories() {
		return
	}
	for i := range b.file.Authenticators {
		if a := &b.file.Authenticators[i]; a.Kind == "ldap" {
			b.directory(a)
		}
	}
}

// delivery is the one for a user. Its head is made when the message has begun.
func (d *deliverer) delivery(ctx context.Context, name string, h *lmtp.Header) (maildrop.Delivery, error) {
	addr, ok := lmtp.ParseAddress(name)
	if !ok || addr.Local == "" {
		return maildrop.Delivery{}, errNobody
	}
	target, err := d.resolve(ctx, addr, auth.Peer{Unix: true})
	if err != nil {
		return maildrop.Delivery{}, err
	}
	e := lmtp.Envelope{Recipient: addr.String(), Original: envelopeAddress(d.original).String()}
	return maildrop.Delivery{Name: target.Maildrop, Quota: target.Quota, Head: e.Head(),
		Accept: func() error { return h.CheckLoop("") }}, nil
}

// send delivers the message under its envelope, of which the sender may stand
// in the message itself.
func (d *deliverer) send(ctx context.Context, h *lmtp.Header, all []maildrop.Delivery) []error {
	begin := make([]byte, headerPeek)
	n, err := io.ReadFull(h, begin)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return slices.Repeat([]error{err}, len(all))
	}
	sender := d.sender
	if !d.hasSender {
		sender = cmp.Or(h.Sender, h.ReturnPath)
	}
	from := envelopeAddress(strings.TrimSpace(sender))
	if from.Local == "MAILER-DAEMON" && from.Domain == "" { // which is how an mbox has none
		from = lmtp.Address{}
	}
	for i := range all {
		all[i].Head = append(fmt.Appendf(nil, "Return-Path: <%s>\n", from), all[i].Head[len("Return-Path: <>\n"):]...)
	}
	return d.distribute(ctx, all, io.MultiReader(bytes.NewReader(begin[:n]), h))
}

// envelopeAddress is an address as transfer agents hand it over, which is often
// without the quotes that its local part needs. What is none is not known: that
// the world writes such senders is no reason to return the mail.
func envelopeAddress(s string) lmtp.Address {
	a, ok := lmtp.ParseAddress(s)
	if !ok {
		at := strings.LastIndexByte(s, '@')
		bare := lmtp.Address{Local: s[:max(at, 0)], Domain: s[at+1:]}
		a, ok = lmtp.ParseAddress(bare.String())
	}
	if !ok {
		return lmtp.Address{}
	}
	return a
}

// headerPeek is how far into a message its sender is looked for.
const headerPeek = 64 << 10

// tell says what is wrong with a delivery, and returns the status for that.
func (d *deliverer) tell(name string, err error) int {
	e := lmtp.AsError(err, lmtp.Full(d.overQuota == "permanent"))
	fmt.Fprintf(d.stderr, "kpopd: deliver to %q: %s: %v\n", name, e.Text, err)
	switch {
	case e.Temporary():
		return exTempFail
	case errors.Is(err, lmtp.ErrLoop), errors.Is(err, maildrop.ErrTooLarge):
		return exDataErr
	case errors.Is(err, maildrop.ErrQuota):
		return exUnavailable
	}
	return exNoUser
}
