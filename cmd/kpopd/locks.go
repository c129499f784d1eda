package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"kpopd/config"
	"kpopd/maildrop/lease"
	"kpopd/server"
)

func locksCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "locks",
		Usage: "list who has which maildrop open",
		Description: "kpopd locks -config /etc/kpopd/kpopd.hcl\n\nA line for each maildrop that is locked now, by whichever process that shares\n" +
			"the directory of locks. That it is locked, the kernel says; by whom, its holder\nwrote there. CONN is the connection in the log. Ask as the server's user or root.",
		Flags: []cli.Flag{configFlag(), &cli.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if err := noArguments(cmd); err != nil {
				return err
			}
			file, err := loadFor(cmd, stderr)
			if err != nil {
				return err
			}
			all, err := locks(ctx, file)
			if err != nil {
				return err
			}
			return writeLocks(stdout, all, cmd.Bool("json"))
		},
	}
}

// loadFor loads the configuration that a command was given.
func loadFor(cmd *cli.Command, stderr io.Writer) (*config.File, error) {
	path := cmd.String("config")
	if path == "" {
		return nil, usagef("%s: -config FILE is needed", cmd.Name)
	}
	file, diags := config.Load(path)
	if diags.HasErrors() {
		writeDiagnostics(stderr, diags)
		return nil, errMisconfigured
	}
	return file, nil
}

// A lockSays is what is told of one lock.
type lockSays struct {
	Maildrop  string    `json:"maildrop"`       // "": its holder did not say
	Place     string    `json:"path,omitempty"` // below the root of all maildrops
	File      string    `json:"file"`
	Since     time.Time `json:"since,omitzero"`
	Token     uint64    `json:"token,string"`
	PID       int       `json:"pid,omitempty"`
	Host      string    `json:"host,omitempty"`
	User      string    `json:"user,omitempty"`
	Mechanism string    `json:"mechanism,omitempty"`
	Client    string    `json:"client,omitempty"`
	Listener  string    `json:"listener,omitempty"`
	Conn      string    `json:"conn,omitempty"`
}

// locks lists the locks that are held, by their maildrops.
func locks(ctx context.Context, file *config.File) ([]lockSays, error) {
	dir := file.LocksDir()
	k, err := lease.OpenExisting(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return []lockSays{}, nil // nobody has ever locked one
	}
	if err != nil {
		return nil, err
	}
	defer k.Close()
	records, err := k.Held(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]lockSays, 0, len(records))
	for _, r := range records {
		all = append(all, lockSays{
			Maildrop: r.Maildrop, Place: showDots(r.Place), File: filepath.Join(dir, r.File), Since: r.Since, Token: r.Token,
			PID: r.PID, Host: r.Host, User: r.User, Mechanism: r.Mechanism, Client: r.Client, Listener: r.Listener, Conn: r.Conn,
		})
	}
	slices.SortFunc(all, func(a, b lockSays) int { return strings.Compare(a.Maildrop+"\x00"+a.File, b.Maildrop+"\x00"+b.File) })
	return all, nil
}

func writeLocks(w io.Writer, all []lockSays, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(all)
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no maildrop is locked")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "MAILDROP\tPATH\tSINCE\tUSER\tBY\tFROM\tLISTENER\tCONN\tPROCESS\tTOKEN")
	for _, l := range all {
		for _, text := range l.columns() {
			fmt.Fprintf(t, "%s\t", text)
		}
		fmt.Fprintln(t, l.Token)
	}
	return t.Flush()
}

// columns are what is known of a lock, fit for a terminal, but for the token.
func (l *lockSays) columns() []string {
	since, process := "", ""
	if !l.Since.IsZero() {
		since = l.Since.Local().Format(time.DateTime)
	}
	if l.PID != 0 {
		process = strconv.Itoa(l.PID)
		if l.Host != "" {
			process += "@" + l.Host
		}
	}
	all := []string{l.Maildrop, l.Place, since, l.User, l.Mechanism, l.Client, l.Listener, l.Conn, process}
	for i, text := range all {
		if all[i] = server.Clip(text, 256); text == "" {
			all[i] = "-"
		}
	}
	return all
}
