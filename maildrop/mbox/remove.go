package mbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// Rewrite says how messages are removed from a file.
type Rewrite string

// The ways.
const (
	// Auto is Rename where that keeps everything, else InPlace. The empty
	// Rewrite is this one.
	Auto Rewrite = "auto"
	// InPlace moves up in the file what follows, after it was copied to a
	// journal in the directory for state. Programs that have the file open keep
	// the right one.
	InPlace Rewrite = "in-place"
)

// Rewrites are the ways, the default first.
var Rewrites = []Rewrite{Auto, InPlace}

// A span is a part of a file.
type span struct{ start, end int64 }

func (s span) size() int64 { return s.end - s.start }

// Remove removes the messages at these indexes by rewriting the file without
// them, and makes that durable. They are found by unique-id in the file as it
// is by then; what arrived meanwhile stays. On an error nothing is removed, or,
// where a rewriting in place fails half-way, all will be when the mailbox is
// opened next.
func (b *box) Remove(ctx context.Context, indexes []int) error {
	if err := b.remove(ctx, indexes); err != nil {
		return fmt.Errorf("remove from %q: %w", b.lease.Name(), err)
	}
	return nil
}

func (b *box) remove(ctx context.Context, indexes []int) error {
	if err := b.live(ctx); err != nil {
		return err
	}
	if len(indexes) == 0 || b.spot == nil {
		return nil
	}
	h, err := b.spot.lock(ctx, true, false)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.release()
	if err := h.notice(); err != nil {
		return err
	}
	if err := h.repair(ctx); err != nil {
		return err
	}
	v, err := h.view(ctx)
	if err != nil {
		return err
	}
	uids := make(map[string]bool, len(indexes))
	for _, i := range indexes {
		uids[b.msgs[i].UID] = true
	}
	if err := b.live(ctx); err != nil {
		return err
	}
	return h.remove(v, uids)
}

// notice notes whether the file holds mail that nobody has looked at, before it
// is read.
func (h *hold) notice() error {
	st, err := h.file.Stat()
	h.hadNew = st.Mtim.Nano() > st.Atim.Nano()
	return err
}

func (b *box) live(ctx context.Context) error {
	if err := maildrop.Live(b.lease); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// remove removes the messages of v that have these unique-ids.
func (h *hold) remove(v *view, uids map[string]bool) error {
	next := &index{made: h.spot.store.made(), validity: v.validity, gone: v.gone}
	var spans []span
	shift := int64(0)
	for _, e := range v.entries {
		if e.flags&pseudo == 0 && uids[e.uid] {
			spans = join(spans, span{e.offset, e.end})
			next.gone = append(next.gone, ghost{e.digest, e.uid})
			shift += e.end - e.offset
			continue
		}
		e.offset, e.end = e.offset-shift, e.end-shift
		next.entries = append(next.entries, e)
	}
	next.gone = next.gone[max(0, len(next.gone)-maxGhosts):]
	if len(spans) == 0 {
		return h.file.Sync() // gone already, perhaps not durably
	}
	if err := h.intact(v, spans); err != nil {
		return err
	}
	if err := h.announce(v, uids); err != nil {
		return err
	}
	file, err := h.rewrite(spans, v.Size)
	if err != nil {
		return err
	}
	h.remember(file, next)
	if file != h.file {
		file.Close()
	}
	return nil
}

// join adds a span, which may continue the last.
func join(spans []span, s span) []span {
	if last := len(spans) - 1; last >= 0 && spans[last].end == s.start {
		spans[last].end = s.end
		return spans
	}
	return append(spans, s)
}

// intact makes sure that each span begins with a From_ line and ends before
// one, or with the file: a file that other programs change without a lock is
// let alone.
func (h *hold) intact(v *view, spans []span) error {
	for _, sp := range spans {
		for _, at := range []int64{sp.start, sp.end} {
			var buf [5]byte
			if at == v.Size {
				continue
			}
			if _, err := h.file.ReadAt(buf[:], at); err != nil {
				return err
			}
			if !bytes.Equal(buf[:], from) {
				return fmt.Errorf("%s: %w", h.spot.path(), errChanged)
			}
		}
	}
	return nil
}

var errChanged = errors.New("another program changes it without a lock")

// announce notes in the index which of several equal messages is to go, where
// the file will not tell.
func (h *hold) announce(v *view, uids map[string]bool) error {
	going := make(map[digest]bool, len(uids))
	for _, e := range v.entries {
		if uids[e.uid] {
			going[e.digest] = true
		}
	}
	twins := false
	x := &index{stamp: v.stamp, made: h.spot.store.made(), validity: v.validity, gone: v.gone}
	x.entries = append(x.entries, v.entries...)
	for i := range x.entries {
		e := &x.entries[i]
		if uids[e.uid] {
			e.flags |= doomed
		} else {
			twins = twins || going[e.digest]
		}
	}
	if !twins {
		return nil
	}
	return h.spot.writeIndex(x, true)
}

// remember writes the index of the rewritten file, and gives the file the times
// of one that holds no new mail, unless it did before. Its change is dated back
// a little, so that every later one can be told from it.
func (h *hold) remember(file *durable.File, next *index) {
	before, err := h.file.Stat()
	if err != nil {
		return
	}
	now := time.Now()
	access, change := now.UnixNano(), now.Add(-time.Second).UnixNano()
	if h.hadNew {
		access = min(before.Atim.Nano(), change-int64(time.Second))
	}
	_ = file.SetTimes(unix.NsecToTimespec(access), unix.NsecToTimespec(change))
	st, err := file.Stat()
	if err == nil {
		next.stamp = stampOf(&st)
		next.settled = next.stamp.settled(now)
		err = h.spot.writeIndex(next, false)
	}
	if err != nil {
		h.spot.log().Warn("index of a mailbox not written", "file", h.spot.path(), "err", err)
	}
}

// rewrite rewrites the file without spans, and returns the file that has its
// name then.
func (h *hold) rewrite(spans []span, size int64) (*durable.File, error) {
	if spans[0].end == size { // nothing follows: the same however it is done
		return h.file, h.cut(spans[0].start)
	}
	if h.mayRename() {
		fill := func(file *durable.File) error { return h.fill(file, kept(spans, size)) }
		file, err := h.rewriteByRename(fill)
		if err == nil {
			return file, nil
		}
		h.spot.log().Debug("mailbox is rewritten in place", "file", h.spot.path(), "why", err)
	}
	return h.file, h.rewriteInPlace(spans, size)
}

// mayRename: another program that waits for the lock of the file that has the
// name now must see that it has another one then; a dotlock keeps it from
// opening the file before.
func (h *hold) mayRename() bool {
	return h.spot.store.Rewrite != InPlace && h.dot != nil && !h.file.Attributes()
}

// kept returns what is left of a file without spans.
func kept(spans []span, size int64) []span {
	var all []span
	at := int64(0)
	for _, sp := range spans {
		if sp.start > at {
			all = append(all, span{at, sp.start})
		}
		at = sp.end
	}
	if size > at {
		all = append(all, span{at, size})
	}
	return all
}

// rewriteByRename fills a new file, which has the owner, group and mode of the
// old one, and gives it the name. Where that cannot be, or the disk is full, the
// old one stays as it is.
func (h *hold) rewriteByRename(fill func(*durable.File) error) (*durable.File, error) {
	s := h.spot
	st, err := h.file.Stat()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf(".%s.kpopd", s.name)
	if err := s.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err // of a crash
	}
	file, err := s.dir.OpenFile(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err = fill(file); err == nil {
		err = file.Resemble(&st)
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = s.dir.Replace(name, s.name)
	}
	if err != nil {
		file.Close()
		_ = s.dir.Remove(name)
		return nil, err
	}
	if err := s.dir.Sync(); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (h *hold) fill(file *durable.File, spans []span) error {
	at := int64(0)
	for _, sp := range spans {
		if err := copySpan(h, file, at, h.file, sp, nil); err != nil {
			return err
		}
		at += sp.size()
	}
	return nil
}
