package maildir

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
	"kpopd/maildrop/index"
)

// A message is looked at once. A small text is read: it costs no more than
// looking at its end. Of a larger one whose name tells its size the beginning is
// read, to know it again, and the last octet, because programs that name files
// differ on a text without a final line end, and we send one.
const (
	smallText = 4 << 10
	headSize  = 512
)

// measure finds the sizes of all messages that it does not know yet: names tell
// some, of which most are looked at all the same, and all where a name lied. One
// that vanishes meanwhile, or turns out to be no regular file, is left out; one
// that cannot be read is an error, lest its unique-id come and go.
func (b *box) measure(ctx context.Context, l *listing, most int) error {
	const attempts = 8
	l.believe()
	doubted := l.lied()
	if doubted {
		most = len(l.entries)
	}
	for range attempts {
		todo := append(l.sample(most), l.unsized()...)
		if len(todo) == 0 {
			return nil
		}
		if err := b.measureAll(ctx, l, todo); err != nil {
			return err
		}
		if err := b.relocate(l, todo); err != nil {
			return err
		}
		most = 0
		if !doubted && l.lied() {
			doubted, most = true, len(l.entries)
		}
	}
	return errors.New("messages move faster than they can be read")
}

// measureAll looks at these entries, two at a time: the work is half the
// kernel's waiting for a disk, and half copying.
func (b *box) measureAll(ctx context.Context, l *listing, todo []uint32) error {
	const workers, worthwhile = 2, 64
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	work := func() {
		var buf [smallText]byte
		for i := next.Add(1) - 1; i < int64(len(todo)); i = next.Add(1) - 1 {
			if context.Cause(ctx) != nil {
				return
			}
			if err := b.measureOne(ctx, l, &l.entries[todo[i]], buf[:]); err != nil {
				cancel(err)
			}
		}
	}
	var all sync.WaitGroup
	if len(todo) >= worthwhile {
		for range workers - 1 {
			all.Go(work)
		}
	}
	work()
	all.Wait()
	return context.Cause(ctx)
}

// measureOne looks at a message. One that just moved away is left for relocate,
// or believed where its name tells the size: to look for each would make a
// login slow while another program moves all of them.
func (b *box) measureOne(ctx context.Context, l *listing, e *entry, buf []byte) error {
	file, err := b.dirs[e.in].OpenFile(l.name(e), unix.O_RDONLY, 0)
	told := l.told(e)
	if gone(err) {
		if told.ok {
			e.size, e.flags = told.size, e.flags|sized
		}
		return nil
	}
	if err == nil {
		defer file.Close()
		err = e.measure(ctx, file, told, buf)
	}
	if err = vanished(err); errors.Is(err, maildrop.ErrVanished) {
		e.flags |= dead
		return nil
	}
	return err
}

// measure sets the size of e from its open file.
func (e *entry) measure(ctx context.Context, file *durable.File, told told, buf []byte) error {
	octets, err := file.Size()
	if err != nil {
		return err
	}
	head := buf[:min(octets, smallText)]
	if octets > smallText {
		head = buf[:headSize]
	}
	n, err := file.ReadAt(head, 0)
	if err != nil {
		return err
	}
	e.mark = index.Mark(head[:n])
	defer e.compare(told)
	var whole maildrop.Meter
	if int64(n) == octets {
		whole.Write(head)
	} else if ok, err := told.holds(file, octets); err != nil {
		return err
	} else if ok {
		e.found(told.size, told.ready && octets == told.size)
		return nil
	} else if _, err := whole.ReadFrom(&patient{ctx, &text{file, octets}}); err != nil {
		return err
	}
	e.found(whole.Size(), whole.WireReady())
	return nil
}

func (e *entry) found(size int64, ready bool) {
	e.size, e.flags = size, e.flags&^(believed|wireReady)|sized|sure
	if ready {
		e.flags |= wireReady
	}
}

// relocate finds where those went that measureAll did not find, all in one
// scan.
func (b *box) relocate(l *listing, todo []uint32) error {
	missing := make(map[string]bool)
	for _, i := range todo {
		if e := &l.entries[i]; e.flags&(sized|dead) == 0 {
			missing[l.base(e)] = true
		}
	}
	if len(missing) == 0 {
		return nil
	}
	found, err := b.find(missing)
	if err != nil {
		return err
	}
	names := gathering{before: len(l.names)}
	for _, i := range todo {
		e := &l.entries[i]
		if e.flags&(sized|dead) != 0 {
			continue
		}
		at := found[l.base(e)]
		if len(at) == 0 {
			e.flags |= dead
			continue
		}
		p := at[len(at)-1]
		e.in, e.at, e.length = p.in, names.add(p.in, []byte(p.name)), uint8(len(p.name))
	}
	return l.take(&names)
}
