package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"

	"kpopd/maildrop/durable"
	"kpopd/maildrop/migrate"
)

func uidlCaptureCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "capture",
		Usage:     "note what the old server shows over POP3",
		ArgsUsage: "NAME…",
		Description: "kpopd uidl capture -url pop3s://old.example -user '%s*master' \\\n    -password-file master.secret -dir captures alice bob\n\n" +
			"Writes DIR/NAME.capture: size, digest of the header, and unique-id of each message.\n" +
			"Nothing is fetched but headers, and nothing is changed. One that is interrupted\n" +
			"goes on where it was.",
		Flags: append(oldServerFlags(),
			&cli.StringFlag{Name: "dir", Value: ".", Usage: "write into `DIR`"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			old, err := newOldServer(cmd)
			if err != nil {
				return err
			}
			dir, err := durable.Open(cmd.String("dir"))
			if err != nil {
				return err
			}
			defer dir.Close()
			c := &capturer{old: old, dir: dir, out: stdout}
			return eachName(ctx, cmd, stderr, c.run)
		},
	}
}

// A capturer is one call of uidl capture.
type capturer struct {
	old *oldServer
	dir *durable.Dir
	out io.Writer
}

// run captures one maildrop.
func (c *capturer) run(ctx context.Context, name string) error {
	client, err := c.old.dial(ctx, name)
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := client.Messages()
	if err != nil {
		return err
	}
	part := captureName(name) + ".part"
	known, err := c.resume(part, all)
	if err != nil {
		return err
	}
	if err := c.headers(client, part, all); err != nil {
		return fmt.Errorf("%w; the next call goes on from there", err)
	}
	if err := client.Quit(); err != nil {
		return err
	}
	err = replaceFile(c.dir, captureName(name)+".capture", func(w io.Writer) error { return migrate.WriteCapture(w, all) })
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: %d messages, %d of them known from before\n", name, len(all), known)
	if err := c.dir.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// headers asks for the headers that are not known, and notes each in the file
// called part: lines of a digest and a unique-id.
func (c *capturer) headers(client *migrate.Client, part string, all []migrate.Old) error {
	f, err := c.dir.OpenFile(part, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	notes := bufio.NewWriterSize(f, 4096)
	err = client.Headers(all, func(o *migrate.Old) error {
		_, err := fmt.Fprintf(notes, "%s %s\n", o.Header, o.UID)
		return err
	})
	return errors.Join(err, notes.Flush())
}

// resume takes over the headers of messages that an interrupted call noted. A
// line that it did not finish is no message's.
func (c *capturer) resume(part string, all []migrate.Old) (known int, err error) {
	f, err := c.dir.OpenFile(part, unix.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	headers := map[string]string{}
	lines := bufio.NewReader(io.LimitReader(f, maxSource))
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		header, uid, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if len(header) == 32 {
			headers[uid] = header
		}
	}
	for i := range all {
		if h := headers[all[i].UID]; h != "" {
			all[i].Header = h
			known++
		}
	}
	return known, nil
}

// replaceFile writes a file, all of it or nothing, durably.
func replaceFile(dir *durable.Dir, name string, write func(io.Writer) error) error {
	temp := name + ".tmp"
	if err := dir.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := dir.OpenFile(temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = dir.Replace(temp, name)
	}
	if err != nil {
		_ = dir.Remove(temp) // the first error says more
		return err
	}
	return dir.Sync()
}
