package durable

import (
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// A File is an open file without the poller that [os.File] brings: for files
// that are opened, read or written once, and closed. One goroutine owns it and
// closes it.
type File struct {
	fd   int
	dir  *Dir
	name string
}

// Read reads like [io.Reader].
func (f *File) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	err = retry(func() error {
		n, err = unix.Read(f.fd, p)
		return err
	})
	switch {
	case err != nil:
		return 0, f.fail("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// ReadAt reads like [io.ReaderAt], but may stop short.
func (f *File) ReadAt(p []byte, off int64) (n int, err error) {
	err = retry(func() error {
		n, err = unix.Pread(f.fd, p, off)
		return err
	})
	if err != nil {
		return 0, f.fail("read", err)
	}
	return n, nil
}

// Write writes all of p.
func (f *File) Write(p []byte) (int, error) {
	return f.write(p, func(p []byte) (int, error) { return unix.Write(f.fd, p) })
}

// WriteAt writes all of p at off.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	return f.write(p, func(p []byte) (int, error) {
		n, err := unix.Pwrite(f.fd, p, off)
		off += int64(max(n, 0))
		return n, err
	})
}

func (f *File) write(p []byte, call func([]byte) (int, error)) (done int, err error) {
	for done < len(p) {
		n, err := call(p[done:])
		if err == unix.EINTR {
			continue
		}
		if err == nil && n == 0 {
			err = unix.EIO
		}
		if err != nil {
			return done, f.fail("write", err)
		}
		done += n
	}
	return done, nil
}

// TryLock takes the exclusive lock of n octets at off (open file description
// lock, fcntl(2)) and reports whether it got it. The lock belongs to this
// opening of the file, not to the process. NFS has it too; of flock(2) it makes
// a lock of all octets.
func (f *File) TryLock(off, n int64) (bool, error) {
	err := f.lock(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Start: off, Len: n})
	switch {
	case err == unix.EAGAIN || err == unix.EACCES:
		return false, nil
	case err != nil:
		return false, f.fail("lock", err)
	}
	return true, nil
}

// Locked reports whether another opening has a lock there. It takes none.
func (f *File) Locked(off, n int64) (bool, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: off, Len: n}
	if err := f.lock(unix.F_OFD_GETLK, &l); err != nil {
		return false, f.fail("test the lock", err)
	}
	return l.Type != unix.F_UNLCK, nil
}

// Unlock gives octets back at once, even while a child that is being forked
// still shares the opening.
func (f *File) Unlock(off, n int64) error {
	if err := f.lock(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_UNLCK, Start: off, Len: n}); err != nil {
		return f.fail("unlock", err)
	}
	return nil
}

func (f *File) lock(cmd int, l *unix.Flock_t) error {
	return retry(func() error { return unix.FcntlFlock(uintptr(f.fd), cmd, l) })
}

// Stat returns what fstat(2) says.
func (f *File) Stat() (unix.Stat_t, error) {
	st, err := fstat(f.fd)
	if err != nil {
		return st, f.fail("stat", err)
	}
	return st, nil
}

// Chown gives the file to a user and group.
func (f *File) Chown(uid, gid uint32) error {
	if err := retry(func() error { return unix.Fchown(f.fd, int(uid), int(gid)) }); err != nil {
		return f.fail("chown", err)
	}
	return nil
}

// ErrNotRegular means a directory, device, FIFO or socket where a file belongs.
var ErrNotRegular = errors.New("not a regular file")

// Size returns the size of a regular file; ErrNotRegular where it is none.
func (f *File) Size() (int64, error) {
	st, err := fstat(f.fd)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = ErrNotRegular
	}
	if err != nil {
		return 0, f.fail("stat", err)
	}
	return st.Size, nil
}

// Sync makes the file's content durable; its name is durable after [Dir.Sync].
func (f *File) Sync() error {
	if err := retry(func() error { return unix.Fsync(f.fd) }); err != nil {
		return f.fail("fsync", err)
	}
	return nil
}

// Fd returns the descriptor, for sendfile(2). It is closed with f.
func (f *File) Fd() uintptr { return uintptr(f.fd) }

// Close closes the file. It is idempotent.
func (f *File) Close() error {
	if f.fd < 0 {
		return nil
	}
	fd := f.fd
	f.fd = -1
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return f.fail("close", err)
	}
	return nil
}

func (f *File) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.dir.join(f.name), Err: err}
}
