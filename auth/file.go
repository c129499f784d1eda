package auth

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// ReadFile reads a regular file of at most limit octets, and refuses one whose
// mode has a bit of forbidden, as 0o007 for a file of secrets. It does not wait
// for the writer of a named pipe. Errors name the file and tell nothing of what
// is in it; info is of the file that was opened, also where it is refused, and
// nil where none was.
func ReadFile(path string, limit int64, forbidden fs.FileMode) (data []byte, info fs.FileInfo, err error) {
	// A FIFO must not block, nor a terminal take over.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, info, fmt.Errorf("%s: not a regular file", path)
	case mode.Perm()&forbidden != 0:
		return nil, info, fmt.Errorf("%s: mode %04o lets everybody at its secrets: chmod o= it", path, mode.Perm())
	}
	data, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: larger than %d KiB", path, limit>>10)
	}
	if err != nil {
		return nil, info, err
	}
	return data, info, nil
}
