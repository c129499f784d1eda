// Package durable works on files below an open directory: relative to its
// descriptor, one path component at a time, never through a symbolic link, so
// that nothing a name holds leads out of the directory. It is also the only
// place of maildrops that calls fsync(2).
//
// [os.Root] would keep a path inside too, but follows a link from one
// maildrop to another; and system calls on descriptors that are kept open cost
// a fraction of [os.Open].
//
// A failed fsync is never tried again: the kernel may have dropped the data
// and then reports success. The operation that needed it has failed.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A Dir is an open directory. It is safe for concurrent use, but for Close and
// Each. The caller closes it.
type Dir struct {
	fd   int
	path string // for messages
	read bool   // by Each
}

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC

// Open opens the directory at path. Path is the administrator's: links in it
// are followed.
func Open(path string) (*Dir, error) {
	return openDir(unix.AT_FDCWD, path, path, dirFlags)
}

func openDir(at int, name, path string, flags int) (*Dir, error) {
	fd, err := openat(at, name, flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &Dir{fd: fd, path: path}, nil
}

// Path returns the path of the directory, for messages only.
func (d *Dir) Path() string { return d.path }

// ErrLink means a symbolic link where a file or directory belongs.
var ErrLink = errors.New("is a symbolic link, and is not followed")

// Open opens the subdirectory called name: ErrLink where that is a link.
func (d *Dir) Open(name string) (*Dir, error) {
	if err := d.check("open", name); err != nil {
		return nil, err
	}
	sub, err := openDir(d.fd, name, d.join(name), dirFlags|unix.O_NOFOLLOW)
	if errors.Is(err, unix.ENOTDIR) && d.isLink(name) { // what Linux says of a link here
		err = &fs.PathError{Op: "open", Path: d.join(name), Err: ErrLink}
	}
	return sub, err
}

// OpenBelow opens the directory at a path below d in one system call: like Open
// for one component after the other, but it reads no directory on the way. An
// error says that this cannot be done here, or not by this kernel, and Open tells
// why.
func (d *Dir) OpenBelow(path string) (*Dir, error) {
	how := unix.OpenHow{Flags: dirFlags | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	fd, err := -1, error(nil)
	err = retry(func() error {
		fd, err = unix.Openat2(d.fd, path, &how)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.join(path), Err: err}
	}
	return &Dir{fd: fd, path: d.join(path)}, nil
}

func (d *Dir) isLink(name string) bool {
	st, err := d.Lstat(name)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK
}

// Make opens the subdirectory called name; one that is missing is made and is
// durable on return.
func (d *Dir) Make(name string, perm uint32) (*Dir, error) { return d.make(name, perm, d.Sync) }

// MakeSoon is Make for what may be lost in a crash: it waits for no disk.
func (d *Dir) MakeSoon(name string, perm uint32) (*Dir, error) {
	return d.make(name, perm, func() error { return nil })
}

func (d *Dir) make(name string, perm uint32, sync func() error) (*Dir, error) {
	sub, err := d.Open(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return sub, err
	}
	err = unix.Mkdirat(d.fd, name, perm)
	if err != nil && err != unix.EEXIST {
		return nil, &fs.PathError{Op: "mkdir", Path: d.join(name), Err: err}
	}
	// After EEXIST too: whoever made it may not have come that far.
	if err := sync(); err != nil {
		return nil, err
	}
	return d.Open(name)
}

// OpenFile opens the file called name; flags are those of open(2). ErrLink
// where it is a link, ErrNotRegular where it is a socket or no device answers. A
// FIFO does not block; whether it is a regular file, [File.Size] tells.
func (d *Dir) OpenFile(name string, flags int, perm uint32) (*File, error) {
	if err := d.check("open", name); err != nil {
		return nil, err
	}
	const always = unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC | unix.O_NOCTTY
	fd, err := openat(d.fd, name, flags|always, perm)
	switch err {
	case unix.ELOOP:
		err = ErrLink
	case unix.ENXIO:
		err = ErrNotRegular
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: d.join(name), Err: err}
	}
	return &File{fd: fd, dir: d, name: name}, nil
}

// Remove removes the file called name. It is durable after Sync.
func (d *Dir) Remove(name string) error {
	if err := d.check("unlink", name); err != nil {
		return err
	}
	if err := retry(func() error { return unix.Unlinkat(d.fd, name, 0) }); err != nil {
		return &fs.PathError{Op: "unlink", Path: d.join(name), Err: err}
	}
	return nil
}

// RemoveDir removes the directory called name, which must be empty. It is
// durable after Sync.
func (d *Dir) RemoveDir(name string) error {
	if err := d.check("rmdir", name); err != nil {
		return err
	}
	if err := retry(func() error { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) }); err != nil {
		return &fs.PathError{Op: "rmdir", Path: d.join(name), Err: err}
	}
	return nil
}

// Move gives the file called name the name newname in the directory to, on the
// same file system. A file that has that name already is left alone:
// [fs.ErrExist]. It is durable after to.Sync.
func (d *Dir) Move(name string, to *Dir, newname string) error {
	if err := errors.Join(d.check("rename", name), to.check("rename", newname)); err != nil {
		return err
	}
	err := retry(func() error {
		return unix.Renameat2(d.fd, name, to.fd, newname, unix.RENAME_NOREPLACE)
	})
	if err == unix.EINVAL || err == unix.ENOSYS {
		err = d.relink(name, to, newname) // NFS, for one, cannot do it
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: d.join(name), New: to.join(newname), Err: err}
	}
	return nil
}

// relink is Move for file systems that cannot rename without replacing. Once the
// new name exists the move has happened, whatever becomes of the old one.
func (d *Dir) relink(name string, to *Dir, newname string) error {
	if err := retry(func() error { return unix.Linkat(d.fd, name, to.fd, newname, 0) }); err != nil {
		return err
	}
	_ = unix.Unlinkat(d.fd, name, 0)
	return nil
}

// Replace gives the file called name the name newname in the same directory,
// at once instead of whatever file has that name. It is durable after Sync.
func (d *Dir) Replace(name, newname string) error {
	if err := errors.Join(d.check("rename", name), d.check("rename", newname)); err != nil {
		return err
	}
	if err := retry(func() error { return unix.Renameat2(d.fd, name, d.fd, newname, 0) }); err != nil {
		return &os.LinkError{Op: "rename", Old: d.join(name), New: d.join(newname), Err: err}
	}
	return nil
}

// ReplaceIn gives the file called name the name newname in the directory to, on
// the same file system, instead of whatever file had that. It is durable after
// to.Sync.
func (d *Dir) ReplaceIn(name string, to *Dir, newname string) error {
	if err := errors.Join(d.check("rename", name), to.check("rename", newname)); err != nil {
		return err
	}
	if err := retry(func() error { return unix.Renameat(d.fd, name, to.fd, newname) }); err != nil {
		return &os.LinkError{Op: "rename", Old: d.join(name), New: to.join(newname), Err: err}
	}
	return nil
}

// Link gives the file called name another name, newname in the directory to,
// on the same file system: EXDEV, EPERM or EMLINK where that cannot be. A file
// that has that name already is left alone: [fs.ErrExist]. It is durable after
// to.Sync.
func (d *Dir) Link(name string, to *Dir, newname string) error {
	if err := errors.Join(d.check("link", name), to.check("link", newname)); err != nil {
		return err
	}
	if err := retry(func() error { return unix.Linkat(d.fd, name, to.fd, newname, 0) }); err != nil {
		return &os.LinkError{Op: "link", Old: d.join(name), New: to.join(newname), Err: err}
	}
	return nil
}

// Stat returns what fstat(2) says.
func (d *Dir) Stat() (unix.Stat_t, error) {
	st, err := fstat(d.fd)
	if err != nil {
		return st, &fs.PathError{Op: "stat", Path: d.path, Err: err}
	}
	return st, nil
}

// Lstat returns what the entry called name is, not following a link.
func (d *Dir) Lstat(name string) (unix.Stat_t, error) {
	if err := d.check("lstat", name); err != nil {
		return unix.Stat_t{}, err
	}
	return d.lstat(name)
}

// LstatDir is Stat of the subdirectory called name, in one system call. As
// opening does, and Lstat does not, it asks the server of a network file system,
// whatever that said before. An error says that it is no directory, or that
// Open has to tell.
func (d *Dir) LstatDir(name string) (st unix.Stat_t, err error) {
	if err := d.check("statx", name); err != nil {
		return st, err
	}
	const flags, mask = unix.AT_SYMLINK_NOFOLLOW | unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS
	var x unix.Statx_t
	err = retry(func() error { return unix.Statx(d.fd, name, flags, mask, &x) })
	if err == nil && (x.Mask&mask != mask || uint32(x.Mode)&unix.S_IFMT != unix.S_IFDIR) {
		err = unix.ENOTDIR
	}
	if err != nil {
		return st, &fs.PathError{Op: "statx", Path: d.join(name), Err: err}
	}
	st.Dev, st.Ino, st.Mode, st.Size = unix.Mkdev(x.Dev_major, x.Dev_minor), x.Ino, uint32(x.Mode), int64(x.Size)
	st.Mtim = unix.Timespec{Sec: x.Mtime.Sec, Nsec: int64(x.Mtime.Nsec)}
	st.Ctim = unix.Timespec{Sec: x.Ctime.Sec, Nsec: int64(x.Ctime.Nsec)}
	return st, nil
}

// LstatIn is Lstat for an entry of the subdirectory called sub, in one system
// call. It follows sub where that is a link: it is for directories that only this
// program writes.
func (d *Dir) LstatIn(sub, name string) (unix.Stat_t, error) {
	if err := errors.Join(d.check("lstat", sub), d.check("lstat", name)); err != nil {
		return unix.Stat_t{}, err
	}
	return d.lstat(sub + "/" + name)
}

func (d *Dir) lstat(name string) (st unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return st, &fs.PathError{Op: "lstat", Path: d.join(name), Err: err}
	}
	return st, nil
}

// Sync makes the directory's entries durable: what was made, moved and removed
// in it before.
func (d *Dir) Sync() error {
	if err := retry(func() error { return unix.Fsync(d.fd) }); err != nil {
		return &fs.PathError{Op: "fsync", Path: d.path, Err: err}
	}
	return nil
}

// Close closes the directory. It is idempotent.
func (d *Dir) Close() error {
	if d.fd < 0 {
		return nil
	}
	fd := d.fd
	d.fd = -1
	if err := unix.Close(fd); err != nil && err != unix.EINTR {
		return &fs.PathError{Op: "close", Path: d.path, Err: err}
	}
	return nil
}

func (d *Dir) join(name string) string { return d.path + "/" + name }

// check refuses everything but one plain path component.
func (d *Dir) check(op, name string) error {
	if name == "" || name == "." || name == ".." || strings.IndexByte(name, '/') >= 0 || strings.IndexByte(name, 0) >= 0 {
		return &fs.PathError{Op: op, Path: d.join(name), Err: unix.EINVAL}
	}
	return nil
}

func openat(at int, name string, flags int, perm uint32) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(at, name, flags, perm)
		return err
	})
	return fd, err
}

func fstat(fd int) (st unix.Stat_t, err error) {
	err = retry(func() error { return unix.Fstat(fd, &st) })
	return st, err
}

// retry repeats a call that a signal interrupted; Go's scheduler sends many.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
