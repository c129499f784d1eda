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

// Replace gives the file called name the name newname, in the place of the file
// that had it. It is durable after Sync.
func (d *Dir) Replace(name, newname string) error {
	if err := d.check("rename", name); err != nil {
		return err
	}
	if err := d.check("rename", newname); err != nil {
		return err
	}
	err := retry(func() error { return unix.Renameat2(d.fd, name, d.fd, newname, 0) })
	if err != nil {
		return &os.LinkError{Op: "rename", Old: d.join(name), New: d.join(newname), Err: err}
	}
	return nil
}

// Stat returns what fstat(2) says.
func (f *File) Stat() (unix.Stat_t, error) {
	st, err := fstat(f.fd)
	if err != nil {
		return st, f.fail("stat", err)
	}
	return st, nil
}

// Truncate makes the file size octets long. It is durable after Sync.
func (f *File) Truncate(size int64) error {
	if err := retry(func() error { return unix.Ftruncate(f.fd, size) }); err != nil {
		return f.fail("truncate", err)
	}
	return nil
}

// TryRecordLock takes the lock that others take by fcntl(2), of the whole file,
// shared or exclusive, and reports whether it got it. Unlike theirs it belongs
// to this opening of the file, so that neither another goroutine shares it nor
// another close of the file ends it. An exclusive one needs a file that was
// opened for writing.
func (f *File) TryRecordLock(exclusive bool) (bool, error) {
	lock := unix.Flock_t{Type: unix.F_RDLCK}
	if exclusive {
		lock.Type = unix.F_WRLCK
	}
	err := retry(func() error { return unix.FcntlFlock(uintptr(f.fd), unix.F_OFD_SETLK, &lock) })
	switch {
	case err == unix.EAGAIN || err == unix.EACCES:
		return false, nil
	case err != nil:
		return false, f.fail("lock", err)
	}
	return true, nil
}

// UnlockRecord gives back what TryRecordLock took.
func (f *File) UnlockRecord() error {
	lock := unix.Flock_t{Type: unix.F_UNLCK}
	if err := retry(func() error { return unix.FcntlFlock(uintptr(f.fd), unix.F_OFD_SETLK, &lock) }); err != nil {
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
		if err := unix.Fchown(f.fd, int(st.Uid), int(st.Gid)); err != nil {
			return f.fail("chown", err)
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
