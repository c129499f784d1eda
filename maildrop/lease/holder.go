package lease

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Holder returns the process that has the lock of a maildrop in the directory
// at path. 0: nobody has. It asks the kernel, and neither locks nor changes
// anything.
func Holder(path, name string) (pid int, err error) {
	var st unix.Stat_t
	err = unix.Stat(filepath.Join(path, fileName(name)), &st)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // it was never locked
	}
	if err != nil {
		return 0, fmt.Errorf("lock of %q: %w", name, err)
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return 0, err
	}
	defer locks.Close()
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	return holderOf(locks, file)
}

// holderOf finds a file, MAJOR:MINOR:INODE, in the list of all locks
// (proc(5)):
//
//	1: FLOCK  ADVISORY  WRITE 2312 fe:01:1235 0 EOF
func holderOf(locks io.Reader, file string) (pid int, err error) {
	lines := bufio.NewScanner(locks)
	for lines.Scan() {
		// One that waits has an arrow for its second field.
		if f := strings.Fields(lines.Text()); len(f) >= 6 && f[1] == "FLOCK" && f[5] == file {
			return strconv.Atoi(f[4])
		}
	}
	return 0, lines.Err()
}
