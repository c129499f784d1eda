package durable

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// What mailboxes need that are one file, which other programs lock, append to
// and rewrite.

// Temp opens a new file that has no name, in the file system of d; see
// [File.Link]. Not every file system can: EOPNOTSUPP.
func (d *Dir) Temp(perm uint32) (*File, error) {
	fd, err := openat(d.fd, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, perm)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.join("(temporary)"), Err: err}
	}
	return &File{fd: fd, dir: d, name: "(temporary)"}, nil
}

// Link gives a file that Temp opened the name in its directory:
// [fs.ErrExist] where another file has it. It is durable after [Dir.Sync].
func (f *File) Link(name string) error {
	if err := f.dir.check("link", name); err != nil {
		return err
	}
	self := fmt.Sprintf("/proc/self/fd/%d", f.fd)
	err := retry(func() error { return unix.Linkat(unix.AT_FDCWD, self, f.dir.fd, name, unix.AT_SYMLINK_FOLLOW) })
	if err != nil {
		return &os.LinkError{Op: "link", Old: f.dir.join(f.name), New: f.dir.join(name), Err: err}
	}
	return nil
}

// Truncate makes the file size octets long. It is durable after Sync.
func (f *File) Truncate(size int64) error {
	if err := retry(func() error { return unix.Ftruncate(f.fd, size) }); err != nil {
		return f.fail("truncate", err)
	}
	return nil
}

// TryRecordLock takes the lock of the whole file that others take by fcntl(2),
// shared or exclusive, and reports whether it got it. It is like that of TryLock.
// An exclusive one needs a file that was opened for writing.
func (f *File) TryRecordLock(exclusive bool) (bool, error) {
	if exclusive {
		return f.TryLock(0, 0)
	}
	err := f.lock(unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_RDLCK})
	if err == unix.EAGAIN || err == unix.EACCES {
		return false, nil
	}
	if err != nil {
		return false, f.fail("lock", err)
	}
	return true, nil
}

// TryFlock takes the exclusive lock of flock(2), which is another one but on
// NFS, and reports whether it got it.
func (f *File) TryFlock() (bool, error) {
	err := retry(func() error { return unix.Flock(f.fd, unix.LOCK_EX|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		return false, nil
	}
	if err != nil {
		return false, f.fail("flock", err)
	}
	return true, nil
}

// Unflock gives back what TryFlock took.
func (f *File) Unflock() error {
	if err := retry(func() error { return unix.Flock(f.fd, unix.LOCK_UN) }); err != nil {
		return f.fail("unlock", err)
	}
	return nil
}

// Resemble gives f the owner, group and mode of st.
func (f *File) Resemble(st *unix.Stat_t) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	if mine.Uid != st.Uid || mine.Gid != st.Gid {
		if err := f.Chown(st.Uid, st.Gid); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(f.fd, st.Mode&0o7777); err != nil {
		return f.fail("chmod", err)
	}
	return nil
}

// SetTimes sets the times of the last access and change of the content.
func (f *File) SetTimes(access, change unix.Timespec) error {
	times := []unix.Timespec{access, change}
	self := fmt.Sprintf("/proc/self/fd/%d", f.fd)
	if err := retry(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, self, times, 0) }); err != nil {
		return f.fail("utimens", err)
	}
	return nil
}

// Attributes reports whether the file has extended attributes, such as an
// access control list, that a copy would lack.
func (f *File) Attributes() bool {
	var names [256]byte
	n, err := unix.Flistxattr(f.fd, names[:])
	if err != nil {
		return err == unix.ERANGE
	}
	const label = "security.selinux\x00" // a new file has its own
	return n > 0 && string(names[:n]) != label
}
