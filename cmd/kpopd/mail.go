package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"

	"kpopd/config"
	"kpopd/maildrop"
	"kpopd/server"
	"kpopd/server/audit"
)

// A mailroom is what works on maildrops without serving anybody: the store, its
// locks and the record of what was done. It needs neither keytab nor
// certificates.
type mailroom struct {
	file   *config.File
	store  maildrop.Store
	locker maildrop.Locker
	audit  *audit.Log
	parts  *parts
}

// openMailroom builds one from a configuration. What is wrong with that has been
// said when the error is errMisconfigured.
func openMailroom(path string, stderr io.Writer) (*mailroom, error) {
	file, diags := config.Load(path)
	if diags.HasErrors() {
		writeDiagnostics(stderr, diags)
		return nil, errMisconfigured
	}
	if err := sameUser(file.StateDir); err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	b := &builder{file: file, old: &parts{}, next: &parts{stateDir: file.StateDir}, log: log}
	b.state()
	b.maildrops()
	if diags := config.DiagnosticsOf(errors.Join(b.errs...)); diags.HasErrors() {
		writeDiagnostics(stderr, diags)
		return nil, errMisconfigured
	}
	m := &mailroom{file: file, store: b.store, locker: b.locker(), parts: b.next, audit: audit.New(log)}
	if file.Audit != nil {
		f, err := audit.OpenFile(file.Audit.File)
		if err != nil {
			m.close()
			return nil, fmt.Errorf("the audit log: %w", err)
		}
		m.audit.Swap(f)
	}
	return m, nil
}

// sameUser refuses to work in a state directory of somebody else: its server
// could not open the locks and journals that are made here.
func sameUser(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return nil // it is made, or complained of
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to the user %d: run this as that user, for example by setpriv or runuser", dir, st.Uid)
	}
	return nil
}

func (m *mailroom) close() error {
	err := m.audit.Close()
	m.parts.locker.Close()
	m.parts.logins.Close()
	return err
}

// with calls fn while nobody else has the maildrop.
func (m *mailroom) with(ctx context.Context, name string, fn func(maildrop.Lease) error) error {
	return withLease(ctx, m.locker, name, fn)
}

// withLease calls fn while nobody else has the maildrop, nor can take it away.
// ErrLocked: somebody has it.
func withLease(ctx context.Context, k maildrop.Locker, name string, fn func(maildrop.Lease) error) error {
	lease, err := k.Lock(ctx, name)
	if err != nil {
		return err
	}
	release, err := maildrop.Hold(lease)
	if err != nil {
		return errors.Join(err, lease.Release())
	}
	err = fn(lease)
	release()
	return errors.Join(err, lease.Release())
}

// messageEvent is what the record has of a message that went or came without a
// session.
func messageEvent(kind server.EventKind, maildrop, uid string, more ...slog.Attr) server.Event {
	return server.Event{Kind: kind, Maildrop: maildrop, Attrs: append([]slog.Attr{slog.String("uid", uid)}, more...)}
}
