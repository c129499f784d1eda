package storetest

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// files are what other programs, or hostile users, can put in a maildrop's way,
// by kind; other is a file or directory that is not theirs.
func files(other string) map[string]func(path string) error {
	all := map[string]func(string) error{
		"link":      func(path string) error { return os.Symlink(other, path) },
		"near link": func(path string) error { return near(other, path) },
		"dangling":  func(path string) error { return os.Symlink("/nowhere/at/all", path) },
		"loop":      func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"fifo":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"socket":    func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
	}
	if os.Geteuid() == 0 {
		zero := int(unix.Mkdev(1, 5))
		all["device"] = func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o600, zero) }
		all["block device"] = func(path string) error { return unix.Mknod(path, unix.S_IFBLK|0o600, zero) }
	}
	return all
}

func near(other, path string) error {
	to, err := filepath.Rel(filepath.Dir(path), other)
	return errors.Join(err, os.Symlink(to, path))
}

// inPlace: what is no maildrop but has its place is refused, at once, whether
// to read or to deliver; it stays what it was, and so does what it leads to.
func inPlace(s *suite) {
	if s.Files == nil {
		return
	}
	s.deliver("alice", "one\n", "two\n")
	before, want := s.list("alice"), s.read("alice")
	alice, folders := s.Files("alice")
	bob, _ := s.Files("bob")
	all := files(alice)
	if len(folders) > 0 {
		all["file"] = func(path string) error { return os.WriteFile(path, nil, 0o600) }
	} else {
		all["directory"] = func(path string) error { return os.Mkdir(path, 0o700) }
		all["hard link"] = func(path string) error { return os.Link(alice, path) }
	}
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		s.must(os.MkdirAll(filepath.Dir(bob), 0o700), all[kind](bob))
		was := s.mode(bob)
		s.soon(kind, func() {
			if d, err := s.Policy.Open(s.ctx, "bob", s.locker, s.again()); err == nil {
				s.Errorf("%s: opened, with %d messages", kind, d.Count())
				d.Close()
			}
			if err := s.Store.Deliver(s.ctx, "bob", strings.NewReader("three\n")); err == nil {
				s.Errorf("%s: something was delivered", kind)
			}
		})
		if is := s.mode(bob); is != was {
			s.Errorf("%s: it is %v, was %v", kind, is, was)
		}
		s.must(os.Remove(bob))
	}
	if got, texts := s.list("alice"), s.read("alice"); !slices.Equal(got, before) || !slices.Equal(texts, want) {
		s.Errorf("alice has %v %q, had %v %q", got, texts, before, want)
	}
}

// among: what is no message but stands among them is none, keeps nobody waiting
// and stays. A hard link is one: its removal leaves the other name.
func among(s *suite) {
	if s.Files == nil {
		return
	}
	s.deliver("alice", "one\n", "two\n")
	place, folders := s.Files("alice")
	outside := filepath.Join(filepath.Dir(place), "outside")
	s.must(os.WriteFile(outside, []byte("outside\n"), 0o600))
	before, put := s.list("alice"), []string{}
	for _, folder := range folders {
		for kind, make := range files(outside) {
			path := filepath.Join(folder, "1."+kind+",S=8,W=9")
			s.must(make(path))
			put = append(put, path)
		}
	}
	s.soon("among", func() {
		if got := s.list("alice"); !slices.Equal(got, before) {
			s.Errorf("listing: %v, want %v", got, before)
		}
		s.deliver("alice", "three\n")
		s.remove("alice", 1)
		if got := s.read("alice"); !slices.Equal(got, []string{"two\n", "three\n"}) {
			s.Errorf("messages: %q", got)
		}
	})
	for i, folder := range folders {
		s.must(os.Link(outside, filepath.Join(folder, "1.hard"+string(rune('a'+i)))))
	}
	for range folders {
		if got := s.read("alice"); got[0] != "outside\n" {
			s.Errorf("messages: %q, want a hard link's first", got)
		}
		s.remove("alice", 1)
	}
	if got := s.read("alice"); !slices.Equal(got, []string{"two\n", "three\n"}) {
		s.Errorf("messages: %q", got)
	}
	for _, path := range put {
		s.mode(path)
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != "outside\n" {
		s.Errorf("the file outside has %q, %v", text, err)
	}
}

// soon calls fn, which may wait for what never comes.
func (s *suite) soon(kind string, fn func()) {
	s.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		s.Fatalf("%s: it waits", kind)
	}
}

func (s *suite) must(errs ...error) {
	s.Helper()
	if err := errors.Join(errs...); err != nil {
		s.Fatal(err)
	}
}

func (s *suite) mode(path string) os.FileMode {
	s.Helper()
	info, err := os.Lstat(path)
	s.must(err)
	return info.Mode()
}
