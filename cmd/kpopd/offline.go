package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// offline is what an administrator's command works on maildrops with, beside a
// server that may run: the store and the locks, and nobody's authentication.
type offline struct {
	file   *config.File
	store  maildrop.Store
	locker maildrop.Locker
	parts  *parts
}

// openOffline opens what the configuration at path says. What is wrong with
// it, the user is told.
func openOffline(path string, stderr io.Writer) (*offline, error) {
	file, diags := config.Load(path)
	if diags.HasErrors() {
		writeDiagnostics(stderr, diags)
		return nil, errMisconfigured
	}
	if err := sameUser(file.StateDir); err != nil {
		return nil, err
	}
	b := &builder{file: file, old: &parts{}, next: &parts{stateDir: file.StateDir}, log: slog.New(slog.DiscardHandler)}
	b.state()
	b.maildrops()
	if diags := config.DiagnosticsOf(errors.Join(b.errs...)); diags.HasErrors() {
		writeDiagnostics(stderr, diags)
		return nil, errMisconfigured
	}
	return &offline{file: file, store: b.store, locker: byPlace{b.next.locker, file.Maildrop.RelPath}, parts: b.next}, nil
}

// sameUser refuses to work as another user than the server: what root leaves in
// the state directory, the server could not open any more.
func sameUser(stateDir string) error {
	info, err := os.Stat(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the state directory %s does not exist: the server makes it at its first start", stateDir)
	}
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("the state directory %s belongs to user %d, which kpopd runs as: run this as that user", stateDir, st.Uid)
	}
	return nil
}

// lock locks a maildrop against the server's sessions.
func (o *offline) lock(ctx context.Context, name string) (maildrop.Lease, error) {
	if err := maildrop.CheckName(name); err != nil {
		return nil, err
	}
	return o.locker.Lock(ctx, name)
}

// maildir opens the Maildir of a maildrop. Links are not followed.
func (o *offline) maildir(name string) (*durable.Dir, error) {
	if o.file.Maildrop.Kind != "maildir" {
		return nil, fmt.Errorf("maildrops of the kind %s have no list of unique-ids", o.file.Maildrop.Kind)
	}
	if err := maildrop.CheckName(name); err != nil {
		return nil, err
	}
	path, err := o.file.Maildrop.RelPath(name)
	if err != nil {
		return nil, err
	}
	dir, err := durable.Open(o.file.Maildrop.Root)
	for component := range strings.SplitSeq(path, "/") {
		if err != nil {
			return nil, err
		}
		var next *durable.Dir
		next, err = dir.Open(component)
		dir.Close()
		dir = next
	}
	return dir, err
}

func (o *offline) close() {
	o.parts.close()
}
