package lease

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"kpopd/maildrop/durable"
)

// Held returns the records of all maildrops that are locked now, by whichever
// process. It neither locks nor changes anything. A record is the holder's
// word; that there is one is the kernel's.
func (k *Locker) Held(ctx context.Context) ([]Record, error) {
	k.listing.Lock()
	defer k.listing.Unlock()
	var files []string
	err := k.dir.Each(func(name []byte, kind durable.Kind) {
		if kind == durable.Regular || kind == durable.Unknown {
			files = append(files, string(name))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("locks: %w", err)
	}
	var all []Record
	for _, name := range files {
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("locks: %w", err)
		}
		r, held, err := k.holderOf(name)
		if err != nil {
			return nil, fmt.Errorf("locks: %w", err)
		}
		if held {
			all = append(all, r)
		}
	}
	return all, nil
}

// Holder returns the record of the session that has the maildrop called name.
// held is false where none has.
func (k *Locker) Holder(name string) (r Record, held bool, err error) {
	defer runtime.KeepAlive(k)
	return k.holderOf(fileName(name))
}

func (k *Locker) holderOf(file string) (r Record, held bool, err error) {
	f, err := k.dir.OpenFile(file, unix.O_RDONLY, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, durable.ErrLink) {
		return r, false, nil
	}
	if err != nil {
		return r, false, err
	}
	defer f.Close()
	if held, err = f.Locked(session, 1); err != nil || !held {
		return r, false, err
	}
	r, err = readRecord(f)
	r.File = file
	return r, true, err
}
