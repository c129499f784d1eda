package lease

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// Fence implements [maildrop.Fencer]. The holder learns of it by Lost, within
// seconds, or at the latest when it comes to remove messages.
func (k *Locker) Fence(ctx context.Context, name string, token uint64) error {
	defer runtime.KeepAlive(k)
	if err := maildrop.CheckName(name); err != nil {
		return err
	}
	err := errReplaced
	for range attempts {
		if err = k.fence(ctx, name, token); !errors.Is(err, errReplaced) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("unlock %q: %w", name, err)
	}
	return nil
}

func (k *Locker) fence(ctx context.Context, name string, token uint64) error {
	file, err := k.dir.OpenFile(fileName(name), unix.O_RDWR, 0)
	if errors.Is(err, unix.ENOENT) {
		return maildrop.ErrNotLocked
	}
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	if err := wait(ctx, file); err != nil {
		return err
	}
	if named, err := k.named(name, idOf(&st)); !named {
		return errors.Join(err, errReplaced)
	}
	r, err := readRecord(file)
	switch held, lockErr := file.Locked(session, 1); {
	case err != nil || lockErr != nil:
		return errors.Join(err, lockErr)
	case !held:
		return maildrop.ErrNotLocked
	case token != 0 && token != r.Token:
		return fmt.Errorf("%w: the one that has it has the token %d", maildrop.ErrNotLocked, r.Token)
	}
	return k.replace(name, &st, r)
}

// wait takes octet 1, which the holder has while it removes.
func wait(ctx context.Context, file *durable.File) error {
	for {
		held, err := file.Locked(session, 1)
		if err != nil {
			return err
		}
		if !held {
			return maildrop.ErrNotLocked
		}
		got, err := file.TryLock(removal, 1)
		if err != nil || got {
			return err
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("its session is removing messages: %w", err)
		}
	}
}

// replace puts a new file, of the same owner, in the place of the one that is
// locked.
func (k *Locker) replace(name string, old *unix.Stat_t, r Record) error {
	temp := "." + fileName(name) + ".new"
	file, err := k.dir.OpenFile(temp, unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := file.Stat()
	if err == nil && (st.Uid != old.Uid || st.Gid != old.Gid) {
		err = file.Chown(old.Uid, old.Gid) // or the server could not open it any more
	}
	if err != nil {
		return err
	}
	fence := Record{Token: next(r.Token), Host: k.host, Since: time.Now(), Place: name}
	if _, err := file.WriteAt(fence.encode(0), 0); err != nil {
		return err
	}
	return k.dir.Replace(temp, fileName(name))
}
