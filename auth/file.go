package auth

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// ReadFile reads a regular file of at most limit octets, and refuses one whose
// mode has a bit of forbidden, such as 0o007 where it holds secrets. It does not
// wait for the writer of a named pipe. Errors name the file and tell nothing of
// what is in it; the stamp of a file that is refused comes with them.
func ReadFile(path string, limit int64, forbidden fs.FileMode) ([]byte, Stamp, error) {
	// A FIFO must not block, nor a terminal take over.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, Stamp{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, Stamp{}, err
	}
	s := stampOf(info)
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, s, fmt.Errorf("%s: not a regular file", path)
	case mode.Perm()&forbidden != 0:
		return nil, s, fmt.Errorf("%s: mode %04o lets everybody at its secrets: chmod o= it", path, mode.Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: larger than %d KiB", path, limit>>10)
	}
	if err != nil {
		return nil, s, err
	}
	if info, err = f.Stat(); err != nil || !s.equal(stampOf(info)) {
		return nil, Stamp{}, fmt.Errorf("%s: changes while it is read", path)
	}
	return data, s, nil
}

// settled is how old a file must be for its times to tell a change: clocks of
// file systems tick in milliseconds, some in seconds.
const settled = 2 * time.Second

// A Stamp tells one state of a file from another. The zero Stamp is of none.
type Stamp struct {
	Mode fs.FileMode

	device, inode   uint64
	size            int64
	modified, state time.Time // state: of the inode, chmod included
	final           bool      // the file was settled when it was read
}

func stampOf(info fs.FileInfo) Stamp {
	s := Stamp{Mode: info.Mode(), size: info.Size(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode = uint64(sys.Dev), sys.Ino
		s.state = time.Unix(sys.Ctim.Unix())
	}
	// A time in the future is that of a wrong clock, and as final.
	s.final = time.Since(s.modified).Abs() > settled && time.Since(s.state).Abs() > settled
	return s
}

func (s Stamp) equal(t Stamp) bool {
	s.final = t.final
	return s == t
}

// IsOf reports whether the file at path is in the same state, for sure.
func (s Stamp) IsOf(path string) bool {
	if !s.final {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && s.equal(stampOf(info))
}
