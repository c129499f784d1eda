package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// A form is how messages are kept in a Maildir.
type form struct {
	sub   string // new or cur
	sized bool   // their names tell sizes, as stored and on the wire
	crlf  bool   // they are as they go out; else their lines end with LF
}

var (
	byPostfix = form{sub: "new"}              // which writes no sizes
	byDovecot = form{sub: "cur", sized: true} // delivered by its LDA, or LMTP
	read      = form{sub: "cur"}              // by Postfix, and seen by a client since
	wireReady = form{sub: "cur", crlf: true}
)

// messages returns n different messages of a size, which are files in the
// directory pool. There are no more than 1,000: of more messages, several are
// links to one.
func (s *site) messages(n, size int, crlf bool) (files []string) {
	for i := range min(n, 1000) {
		path := filepath.Join(s.dir, "pool", fmt.Sprintf("%d-%d-%t", size, i, crlf))
		files = append(files, path)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		text := message(i, size)
		if crlf {
			text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		}
		s.must(os.WriteFile(path, text, 0o644))
		s.give(path)
	}
	return files
}

// message is a text of so many octets, with LF, none of whose lines begins with a
// dot.
func message(i, size int) []byte {
	var text bytes.Buffer
	fmt.Fprintf(&text, "From: a@example.test\nMessage-ID: <%d.%d@example.test>\nSubject: a message\n\n", size, i)
	for text.Len() < size-1 {
		const line = "Sphinx of black quartz, judge my vow. The five boxing wizards jump quickly.."
		text.WriteString(line[:min(len(line), size-1-text.Len())] + "\n")
	}
	text.Truncate(size - 1)
	return append(text.Bytes(), '\n')
}

// wireSize is how long a message is with CRLF.
func wireSize(size int) int { return size + bytes.Count(message(0, size), []byte("\n")) }

// fill gives n messages to the user with a number, at each server.
func (s *site) fill(user, n, size int, f form) {
	pool := s.messages(n, size, f.crlf)
	suffix := ""
	if f.sub == "cur" {
		suffix = ":2,S"
	}
	if f.sized {
		suffix = fmt.Sprintf(",S=%d,W=%d%s", size, wireSize(size), suffix)
	}
	for _, mail := range s.mails {
		maildir := filepath.Join(mail, userName(user), "Maildir")
		for _, sub := range []string{"", "Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"} {
			dir := filepath.Join(mail, userName(user), sub)
			s.must(os.MkdirAll(dir, 0o755))
			s.give(dir)
		}
		for i := range n {
			name := fmt.Sprintf("%s/%d.M%06dP42.mail%s", f.sub, 1_700_000_000+i, i, suffix)
			s.must(os.Link(pool[i%len(pool)], filepath.Join(maildir, name)))
		}
	}
}

// give gives a file to the user of Dovecot's mail, where there is one.
func (s *site) give(path string) {
	const mail = 8 // the user and the group, on every Debian
	if os.Geteuid() == 0 {
		s.must(os.Chown(path, mail, mail))
	}
}

// renew gives the Maildirs of n users to others, who have not been there before,
// with nothing that a server has written into them.
func (s *site) renew(from, to, n int) {
	for _, mail := range s.mails {
		for i := range n {
			name := filepath.Join(mail, userName(to+i))
			s.must(os.Rename(filepath.Join(mail, userName(from+i)), name))
			entries, err := os.ReadDir(filepath.Join(name, "Maildir"))
			s.must(err)
			for _, e := range entries {
				if !e.IsDir() {
					s.must(os.Remove(filepath.Join(name, "Maildir", e.Name())))
				}
			}
		}
	}
}

// manifest is the file that says what n messages of a size are, for popbench.
func manifest(n, size int) string { return fmt.Sprintf("%s/manifest-%d-%d", siteDir, n, size) }

// declare writes such a file.
func (s *site) declare(n, size int) {
	var lines bytes.Buffer
	out := json.NewEncoder(&lines)
	for i := range n {
		text := bytes.ReplaceAll(message(i%1000, size), []byte("\n"), []byte("\r\n"))
		s.must(out.Encode(map[string]any{"number": i + 1, "octets": len(text), "sha256": fmt.Sprintf("%x", sha256.Sum256(text))}))
	}
	s.must(os.WriteFile(s.filled([]string{manifest(n, size)})[0], lines.Bytes(), 0o644))
}

func userName(n int) string { return fmt.Sprintf("user%04d", n) }
