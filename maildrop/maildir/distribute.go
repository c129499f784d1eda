package maildir

import (
	"bytes"
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

var _ maildrop.Distributor = (*Store)(nil)

// Distribute implements [maildrop.Distributor]. The text is written once, into
// tmp of the first Maildir that takes it. The others get hard links to that
// file where they have the same head and file system, else copies; each has a
// name of its own.
func (s *Store) Distribute(ctx context.Context, all []maildrop.Delivery, text io.Reader) []error {
	errs := make([]error, len(all))
	for i := range all {
		begun := false
		errs[i] = s.enter(all[i].Name, func(d *delivery) error {
			file, name, err := d.create()
			if err != nil {
				return err
			}
			begun = true
			o := &original{delivery: d, file: file, name: name, head: all[i].Head}
			defer o.close()
			return o.distribute(ctx, all[i:], errs[i:], text)
		})
		if begun {
			break
		}
	}
	return errs
}

// An original is a message in tmp of the first Maildir.
type original struct {
	*delivery
	file *durable.File
	name string // in tmp
	head []byte

	meter maildrop.Meter
	text  int64 // where the text begins, behind the head
	moved bool
}

func (o *original) close() {
	o.file.Close()
	if !o.moved {
		_ = o.tmp.Remove(o.name) // what remains, sweep removes one day
	}
}

// distribute writes the message, delivers it to all, of whom the first is the
// original's own, and returns the first one's error.
func (o *original) distribute(ctx context.Context, all []maildrop.Delivery, errs []error, text io.Reader) error {
	if err := o.write(ctx, text); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return err
	}
	for i := 1; i < len(all); i++ {
		errs[i] = o.store.enter(all[i].Name, func(d *delivery) error { return o.share(ctx, d, &all[i]) })
	}
	if err := o.admit(ctx, &all[0], o.meter.Octets()); err != nil {
		return err
	}
	return o.move()
}

// move gives the original its place.
func (o *original) move() error {
	return o.publish(o.name, &o.meter, func(name string) error {
		err := o.tmp.Move(o.name, o.new, name)
		o.moved = o.moved || err == nil
		return err
	})
}

// write writes head and text.
func (o *original) write(ctx context.Context, text io.Reader) error {
	dst := io.MultiWriter(o.file, &o.meter)
	if err := o.store.save(dst, bytes.NewReader(o.head)); err != nil {
		return err
	}
	o.text = o.meter.Octets()
	if err := o.store.save(dst, &patient{ctx, text}); err != nil {
		return err
	}
	return o.file.Sync()
}

// accept asks whether a delivery may be made.
func accept(ctx context.Context, d *maildrop.Delivery) error {
	if err := context.Cause(ctx); err != nil || d.Accept == nil {
		return err
	}
	return d.Accept()
}

// admit returns nil if a message of this size may have its place in the Maildir.
func (d *delivery) admit(ctx context.Context, to *maildrop.Delivery, size int64) error {
	if err := accept(ctx, to); err != nil {
		return err
	}
	return d.fits(to.Quota, size)
}

// share delivers the original to another Maildir.
func (o *original) share(ctx context.Context, d *delivery, to *maildrop.Delivery) error {
	if err := d.admit(ctx, to, o.meter.Octets()-o.text+int64(len(to.Head))); err != nil {
		return err
	}
	if bytes.Equal(o.head, to.Head) {
		name, err := d.store.unique()
		if err != nil {
			return err
		}
		err = d.publish(name, &o.meter, func(name string) error { return o.tmp.Link(o.name, d.new, name) })
		if !cannotLink(err) {
			return err
		}
	}
	return o.copy(ctx, d, to)
}

// cannotLink reports whether err says that these two places cannot have one
// file: other file systems, other owners, or too many links.
func cannotLink(err error) bool {
	for _, e := range []error{unix.EXDEV, unix.EPERM, unix.EMLINK, unix.EOPNOTSUPP} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// copy delivers a copy of the original's text under another head.
func (o *original) copy(ctx context.Context, d *delivery, to *maildrop.Delivery) error {
	file, name, err := d.create()
	if err != nil {
		return err
	}
	c := &original{delivery: d, file: file, name: name, head: to.Head}
	defer c.close()
	if err := c.write(ctx, &from{o, o.text}); err != nil {
		return err
	}
	return c.move()
}

// from reads a file that is open to be written, from an offset on.
type from struct {
	o  *original
	at int64
}

func (f *from) Read(p []byte) (int, error) {
	n, err := f.o.file.ReadAt(p, f.at)
	f.at += int64(n)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

var _ maildrop.Prober = (*Store)(nil)

// Exists implements [maildrop.Prober].
func (s *Store) Exists(_ context.Context, name string) (bool, error) {
	path, err := s.path(name)
	if err != nil {
		return false, err
	}
	err = s.in(path, func(*durable.Dir) error { return nil })
	if errors.Is(err, errNoMaildir) {
		return false, nil
	}
	return err == nil, err
}
