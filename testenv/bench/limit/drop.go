package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A drop is somebody's answers, as they go over the wire.
type drop struct {
	stat, list, uidl []byte
	messages         [][]byte // what RETR says, from +OK to the last dot
}

// load makes the answers of all Maildirs in a directory. Messages that are the
// same file, by hard links, are in memory once.
func load(mail string) (map[string]*drop, error) {
	users, err := os.ReadDir(mail)
	if err != nil {
		return nil, err
	}
	texts, drops := map[uint64][]byte{}, map[string]*drop{}
	for _, user := range users {
		if drops[user.Name()], err = render(filepath.Join(mail, user.Name(), "Maildir"), texts); err != nil {
			return nil, err
		}
	}
	return drops, nil
}

// render makes the answers of one Maildir.
func render(maildir string, texts map[uint64][]byte) (*drop, error) {
	names, err := names(maildir)
	if err != nil {
		return nil, err
	}
	d, total := new(drop), 0
	var list, uidl bytes.Buffer
	for i, name := range names {
		text, err := text(name, texts)
		if err != nil {
			return nil, err
		}
		d.messages = append(d.messages, text)
		uid, _, _ := strings.Cut(filepath.Base(name), ":")
		size := octets(text)
		total += size
		fmt.Fprintf(&list, "%d %d\r\n", i+1, size)
		fmt.Fprintf(&uidl, "%d %s\r\n", i+1, uid)
	}
	d.stat = fmt.Appendf(nil, "+OK %d %d\r\n", len(names), total)
	d.list = fmt.Appendf(nil, "+OK\r\n%s.\r\n", &list)
	d.uidl = fmt.Appendf(nil, "+OK\r\n%s.\r\n", &uidl)
	return d, nil
}

// names returns the files of a Maildir, in the order of their names.
func names(maildir string) (all []string, err error) {
	for _, sub := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(maildir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			all = append(all, filepath.Join(maildir, sub, e.Name()))
		}
	}
	slices.SortFunc(all, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return all, nil
}

// text returns a message as RETR says it, from the file or, where it was read
// under another name, from texts.
func text(name string, texts map[uint64][]byte) ([]byte, error) {
	var stat syscall.Stat_t
	if err := syscall.Stat(name, &stat); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if texts[stat.Ino] == nil {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		texts[stat.Ino] = wire(raw)
	}
	return texts[stat.Ino], nil
}

const begin, end = "+OK\r\n", ".\r\n"

// wire is a message behind the status line, with CRLF and stuffed dots (RFC 1939
// §3).
func wire(raw []byte) []byte {
	out := []byte(begin)
	for line := range bytes.Lines(raw) {
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if bytes.HasPrefix(line, []byte(".")) {
			out = append(out, '.')
		}
		out = append(append(out, line...), '\r', '\n')
	}
	return append(out, end...)
}

// octets is the size of a message that wire made, without what wire added
// (RFC 1939 §11).
func octets(text []byte) int {
	return len(text) - len(begin) - len(end) - bytes.Count(text, []byte("\r\n.."))
}
