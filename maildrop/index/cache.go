package index

import (
	"container/list"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// A Cache has the indexes of all maildrops: those used last in memory, all of
// them in files. Where the directory cannot be used it does without, and says
// so once. It is safe for concurrent use; of one maildrop, only who has its
// lock uses Put.
type Cache struct {
	// Path is the directory, which is made with mode 0700. Empty: indexes are
	// in memory only. Processes may share one.
	Path string
	// Memory is how many octets of indexes are kept in memory. 0: 64 MiB.
	Memory int64
	// Log is told of files that cannot be used. nil: [slog.Default].
	Log *slog.Logger

	mu     sync.Mutex
	root   *durable.Dir // nil: not opened yet
	broken bool         // the last file could not be used, and that was logged
	recent list.List    // of *kept, the last used first
	byName map[string]*list.Element
	octets int64 // of all in recent
}

// kept is an index in memory.
type kept struct {
	name  string
	index *Index
	file  identity // the file that it was read from or written to
}

// An identity tells a file from the one that replaces it. Its zero value means
// that there is none.
type identity struct {
	ino          uint64
	size         int64
	mtime, ctime unix.Timespec
}

const defaultMemory = 64 << 20

// Get returns the index of the maildrop called name; nil: there is none that
// can be used. Another process may have written it. A nil Cache has none.
func (c *Cache) Get(name string) *Index {
	if c == nil {
		return nil
	}
	file, err := c.identify(name)
	if x := c.find(name, file); x != nil || err != nil || file == (identity{}) {
		c.report(err, false)
		return x
	}
	shard, err := c.shard(name, false)
	if shard == nil {
		c.report(err, false)
		return nil
	}
	defer shard.Close()
	x, err := read(shard, name)
	if c.report(exists(err), false); err != nil {
		return nil
	}
	c.keep(name, x, file)
	return x
}

// Put replaces the index of the maildrop called name. It is not durable.
// A nil Cache forgets it.
func (c *Cache) Put(name string, x *Index) {
	if c == nil {
		return
	}
	shard, err := c.shard(name, true)
	if shard == nil {
		c.report(err, false)
		c.keep(name, x, identity{})
		return
	}
	defer shard.Close()
	err = write(shard, name, x)
	c.report(err, err == nil)
	file, _ := c.identify(name)
	if err == nil && file == (identity{}) {
		c.drop(name) // somebody forgot it this moment
		return
	}
	c.keep(name, x, file)
}

// Forget removes the index of the maildrop called name, and reports whether
// there was one. Whoever serves the maildrop next remembers nothing of it.
func (c *Cache) Forget(name string) (bool, error) {
	if c == nil {
		return false, nil
	}
	c.drop(name)
	shard, err := c.shard(name, false)
	if shard == nil || err != nil {
		return false, err
	}
	defer shard.Close()
	err = shard.Remove(fileName(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// find returns the index in memory if it is what the file has.
func (c *Cache) find(name string, file identity) *Index {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byName[name]
	if e == nil || e.Value.(*kept).file != file {
		return nil
	}
	c.recent.MoveToFront(e)
	return e.Value.(*kept).index
}

// keep keeps an index in memory, and lets go of others.
func (c *Cache) keep(name string, x *Index, file identity) {
	limit := c.Memory
	if limit == 0 {
		limit = defaultMemory
	}
	c.drop(name)
	if x.memory() > limit {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName == nil {
		c.byName = make(map[string]*list.Element)
	}
	if e := c.byName[name]; e != nil {
		c.remove(e)
	}
	c.byName[name] = c.recent.PushFront(&kept{name, x, file})
	for c.octets += x.memory(); c.octets > limit; {
		c.remove(c.recent.Back())
	}
}

func (c *Cache) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byName[name]; e != nil {
		c.remove(e)
	}
}

func (c *Cache) remove(e *list.Element) {
	k := c.recent.Remove(e).(*kept)
	delete(c.byName, k.name)
	c.octets -= k.index.memory()
}

// report logs why files cannot be used, when that begins; it is over when one
// has been written. A file that is no index is made anew, and says nothing of
// the next.
func (c *Cache) report(err error, written bool) {
	log := c.Log
	if log == nil {
		log = slog.Default()
	}
	if errors.Is(err, errTooLarge) {
		return
	}
	if errors.Is(err, errFile) {
		log.Warn("an index is made anew", "err", err)
		return
	}
	c.mu.Lock()
	first := err != nil && !c.broken
	c.broken = err != nil || c.broken && !written
	c.mu.Unlock()
	if first {
		log.Error("indexes of maildrops cannot be kept: every login reads its maildrop", "err", err)
	}
}

// shardOf returns the directory of the file of name: one of 256, so that none is
// large.
func shardOf(name string) string {
	const digits = "0123456789abcdef"
	h := fnv.New32a()
	io.WriteString(h, name)
	sum := h.Sum32()
	return string([]byte{digits[sum>>4&0xf], digits[sum&0xf]})
}

// shard opens the directory of the file of name. nil: there is none, or files are
// not used.
func (c *Cache) shard(name string, create bool) (*durable.Dir, error) {
	if c.Path == "" {
		return nil, nil
	}
	defer runtime.KeepAlive(c)
	sub := shardOf(name)
	root, err := c.open(nil)
	if err != nil {
		return nil, err
	}
	shard, err := root.Open(sub)
	if !errors.Is(err, fs.ErrNotExist) || !create {
		return shard, exists(err)
	}
	if shard, err = root.MakeSoon(sub, 0o700); !errors.Is(err, fs.ErrNotExist) {
		return shard, err
	}
	if root, err = c.open(root); err != nil { // somebody removed it
		return nil, err
	}
	return root.MakeSoon(sub, 0o700)
}

// exists is err, or nil where it says that there is nothing.
func exists(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// open opens the directory, once, and anew where it is not the one that is of no
// use any more. It stays open as long as anybody has c.
func (c *Cache) open(useless *durable.Dir) (*durable.Dir, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.root != nil && c.root != useless {
		return c.root, nil
	}
	if err := os.MkdirAll(c.Path, 0o700); err != nil {
		return nil, err
	}
	dir, err := durable.Open(c.Path)
	if err == nil {
		c.root = dir
		runtime.AddCleanup(c, func(d *durable.Dir) { d.Close() }, dir)
	}
	return dir, err
}

// fileName maps a maildrop's name to a file's, as locks do: two names never
// share one.
func fileName(name string) string {
	return maildrop.Escape(name, 200, func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("-_.@+=", c) >= 0
	})
}

// identify returns which file name has, if any.
func (c *Cache) identify(name string) (identity, error) {
	if c.Path == "" {
		return identity{}, nil
	}
	defer runtime.KeepAlive(c)
	root, err := c.open(nil)
	if err != nil {
		return identity{}, err
	}
	st, err := root.LstatIn(shardOf(name), fileName(name))
	return identity{st.Ino, st.Size, st.Mtim, st.Ctim}, exists(err)
}

// read reads the file of the maildrop called name.
func read(dir *durable.Dir, name string) (*Index, error) {
	file, err := dir.OpenFile(fileName(name), unix.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	if size > maxFile {
		return nil, fmt.Errorf("%w: %d octets", errFile, size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(file, b); err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return nil, err
	}
	x, err := decode(name, b)
	if err != nil {
		return nil, fmt.Errorf("index of %q: %w", name, err)
	}
	return x, nil
}

// errTooLarge means an index that nobody would read.
var errTooLarge = errors.New("too large to be kept")

// write replaces the file of the maildrop called name: by another one, so that
// it is there whole or not at all however the process ends.
func write(dir *durable.Dir, name string, x *Index) error {
	if x.size(name) > maxFile {
		return errTooLarge
	}
	// No name of a maildrop begins so. One that a crash leaves is written over.
	temporary := "~" + fileName(name)
	file, err := dir.OpenFile(temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err = errors.Join(writeTo(file, name, x), file.Close()); err == nil {
		err = dir.Replace(temporary, fileName(name))
	}
	if err != nil {
		_ = dir.Remove(temporary)
	}
	return err
}

func writeTo(file *durable.File, name string, x *Index) error {
	at := int64(headerSize)
	header, err := encode(name, x, func(piece []byte) error {
		n, err := file.WriteAt(piece, at)
		at += int64(n)
		return err
	})
	if err != nil {
		return err
	}
	_, err = file.WriteAt(header, 0)
	return err
}
