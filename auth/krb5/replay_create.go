package krb5

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// openOrCreate opens the file at path, which it makes first if there is none.
func openOrCreate(path string, entries int, boot [16]byte) (*os.File, error) {
	for range 3 {
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
		if err := createReplay(path, entries, boot); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return nil, errors.New("keeps vanishing")
}

// createReplay makes a whole, empty file beside path and then links it there,
// so that nobody ever sees half of one. fs.ErrExist: somebody else was first.
func createReplay(path string, entries int, boot [16]byte) (err error) {
	dir, name := filepath.Split(path)
	f, err := os.CreateTemp(filepath.Clean(dir), "."+name+".*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	if err := fillReplay(f, entries, boot); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Clean(dir))
}

func fillReplay(f *os.File, entries int, boot [16]byte) error {
	if entries <= 0 {
		entries = DefaultReplayMax
	}
	// Two buckets at least, as each tag has a choice.
	h := replayHeader{buckets: uint32(max(2, (int64(entries)+bucketLoad-1)/bucketLoad))}
	rand.Read(h.salt[:])
	// The disk may be full now, but not in the middle of a login.
	err := unix.Fallocate(int(f.Fd()), 0, 0, h.size())
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = f.Truncate(h.size())
	}
	if err != nil {
		return fmt.Errorf("reserve %d octets: %w", h.size(), err)
	}
	if _, err := f.WriteAt(h.append(nil), 0); err != nil {
		return err
	}
	if _, err := f.WriteAt(replayState{boot: boot, clean: true}.append(nil), stateOffset); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// checkReplayFile refuses a file that somebody else could have put there, or
// can write.
func checkReplayFile(f *os.File) (fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case st.Uid != uint32(os.Geteuid()):
		return nil, fmt.Errorf("owned by uid %d, not %d", st.Uid, os.Geteuid())
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("mode %04o lets others in, want 0600", info.Mode().Perm())
	}
	return info, nil
}

// bootID tells one boot of the machine from another.
func bootID() (id [16]byte, err error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id, fmt.Errorf("tell whether the machine was restarted: %w", err)
	}
	n, err := hex.Decode(id[:], bytes.ReplaceAll(bytes.TrimSpace(text), []byte("-"), nil))
	if err != nil || n != len(id) {
		return id, errors.New("tell whether the machine was restarted: odd boot id")
	}
	return id, nil
}
