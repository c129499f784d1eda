package maildrop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// The errors of a delivery, beside those of a [Store], that callers test for
// with [errors.Is].
var (
	// ErrQuota means that a maildrop is full.
	ErrQuota = errors.New("maildrop: over quota")
	// ErrTooLarge means a message that no maildrop of this quota could ever
	// hold.
	ErrTooLarge = errors.New("maildrop: larger than the quota")
)

// A Quota bounds what a maildrop holds. Zero: no bound.
type Quota struct {
	Octets   int64 // as stored
	Messages int64
}

// A Delivery is one copy of a message on its way into a maildrop.
type Delivery struct {
	// Name is the maildrop's.
	Name string
	// Head is what stands on top of the text: the envelope, where
	// [ParseEnvelope] finds it. Its lines end with LF.
	Head []byte
	// Quota is what the maildrop may hold, with this message.
	Quota Quota
	// Accept, unless it is nil, is asked once the whole text has been read; with
	// an error the copy is not delivered.
	Accept func() error
}

// A Distributor is a [Store] that adds one text to several maildrops without
// keeping it in memory or writing it more often than it must.
type Distributor interface {
	// Distribute adds text to the maildrops of all, and returns what became of
	// each: nil, or why it is not there. One that fails does not keep the others
	// from theirs. Each delivery is atomic and durable as Deliver's is. An error
	// of text is everybody's, and nobody has the message.
	Distribute(ctx context.Context, all []Delivery, text io.Reader) []error
}

// Distribute is [Distributor.Distribute] for any store. One that is no
// Distributor gets the text from a file in dir that has no name, so that no
// maildrop waits for a sender; it does not know quotas.
func Distribute(ctx context.Context, s Store, dir string, all []Delivery, text io.Reader) []error {
	if d, ok := s.(Distributor); ok {
		return d.Distribute(ctx, all, text)
	}
	spool, err := spoolText(dir, text)
	if err != nil {
		return slices.Repeat([]error{err}, len(all))
	}
	defer spool.Close()
	errs := make([]error, len(all))
	for i := range all {
		errs[i] = deliverFrom(ctx, s, spool, &all[i])
	}
	return errs
}

// deliverFrom delivers one copy of a text that is all there.
func deliverFrom(ctx context.Context, s Store, spool *os.File, d *Delivery) error {
	if d.Accept != nil {
		if err := d.Accept(); err != nil {
			return err
		}
	}
	const all = 1<<63 - 1
	text := io.NewSectionReader(spool, 0, all)
	return s.Deliver(ctx, d.Name, io.MultiReader(bytes.NewReader(d.Head), text))
}

// spoolText writes a text to a file that nothing remains of once it is closed.
func spoolText(dir string, text io.Reader) (*os.File, error) {
	spool, err := os.CreateTemp(dir, "delivery-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	err = os.Remove(spool.Name())
	if err == nil {
		_, err = io.Copy(spool, text)
	}
	if err != nil {
		spool.Close()
		return nil, err
	}
	return spool, nil
}

// A Prober is a [Store] that can tell whether a maildrop is there, without
// making it.
type Prober interface {
	Exists(ctx context.Context, name string) (bool, error)
}
