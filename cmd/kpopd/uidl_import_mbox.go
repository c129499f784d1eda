package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"kpopd/maildrop"
	"kpopd/maildrop/mbox"
	"kpopd/maildrop/migrate"
)

// intoMbox imports the unique-ids of one maildrop that is an mbox, by the field
// X-UIDL of its messages.
func (im *importer) intoMbox(ctx context.Context, name string, lease maildrop.Lease) error {
	store, ok := im.store.(*mbox.Store)
	if !ok {
		return fmt.Errorf("a maildrop %q takes no unique-ids", im.file.Maildrop.Kind)
	}
	if im.from != "capture" && im.from != "uw" {
		return fmt.Errorf("-from %s is for Maildirs: an mbox takes them from a capture or uw", im.from)
	}
	old, err := im.copied(name, nil)
	if err != nil {
		return err
	}
	return store.Import(ctx, lease, func(all []mbox.Candidate, open func(int) io.ReadCloser) ([]string, error) {
		return im.choose(name, old, all, open)
	})
}

// choose returns the old unique-ids of the messages of an mbox; nil: nothing is
// to be written.
func (im *importer) choose(name string, old []migrate.Old, all []mbox.Candidate, open func(int) io.ReadCloser) ([]string, error) {
	local := make([]migrate.Local, len(all))
	for i, c := range all {
		local[i] = migrate.Local{Base: numbered(i), Size: c.Size}
		r := open(i)
		header, err := migrate.DigestHeader(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		local[i].Header = header
	}
	r, err := migrate.Match(old, local)
	if err != nil {
		return nil, err
	}
	uids, moved := im.given(r, all)
	im.print(name, r)
	if moved > 0 {
		fmt.Fprintf(im.out, "%s: %d messages have other numbers than there: an mbox keeps its own order\n", name, moved)
	}
	if len(r.Ambiguous) > 0 && !im.partial {
		return nil, im.notAll(r)
	}
	others := 0
	for i, c := range all {
		if c.Served && uids[i] != "" && uids[i] != c.UID {
			others++
		}
	}
	if others > 0 && !im.replace {
		return nil, shownAlready(others)
	}
	if im.dry {
		return nil, nil
	}
	return uids, nil
}

// numbered stands for a base name. None is a unique-id, for it has a blank.
func numbered(i int) string { return "message " + strconv.Itoa(i+1) }

// given returns what a result gives to each message, and how many of them do not
// come in the old order. What cannot be given is ambiguous.
func (im *importer) given(r *migrate.Result, all []mbox.Candidate) (uids []string, moved int) {
	uids = make([]string, len(all))
	fixed := map[string]bool{}
	last := uint32(0)
	for i, c := range all {
		row, ok := r.List.Find(numbered(i))
		switch {
		case !ok:
			continue
		case c.Fixed && row.UID != c.UID:
			r.Ambiguous = append(r.Ambiguous, fmt.Sprintf("%s, %s: its header begins with a blank, and no field can be put on top", numbered(i), row.UID))
			fixed[numbered(i)] = true
			continue
		}
		uids[i] = row.UID
		if row.Order < last {
			moved++
		}
		last = max(last, row.Order)
	}
	r.List.Prune(func(base string) bool { return !fixed[base] })
	return uids, moved
}
