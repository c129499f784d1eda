package uidl

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

const header = "kpopd-uidl 1"

// maxLine is more than the longest line: every octet of a base name escaped.
const maxLine = 1024

// maxFile bounds a file, so that a login's memory is bounded.
const maxFile = 1 << 30

// ErrCorrupt means a file that does not hold what was written. The sessions of
// its maildrop are refused until somebody has looked.
var ErrCorrupt = errors.New("the list of unique-ids is damaged")

// Load reads the list of a Maildir. (nil, nil): there is none. ErrCorrupt, with
// the file's path and the line: it cannot be believed.
func Load(maildir *durable.Dir) (*List, error) {
	f, err := maildir.OpenFile(Name, unix.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	path := maildir.Path() + "/" + Name
	size, err := f.Size()
	if err == nil && size > maxFile {
		err = fmt.Errorf("%s: %w: %d octets", path, ErrCorrupt, size)
	}
	if err != nil {
		return nil, err
	}
	return Parse(path, io.LimitReader(f, maxFile))
}

// Parse reads a list; name stands for it in errors.
func Parse(name string, r io.Reader) (*List, error) {
	p := &parser{lines: bufio.NewReaderSize(r, maxLine)}
	if err := p.run(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, p.n, err)
	}
	return &p.list, nil
}

// crcTable is that of CRC-32C.
var crcTable = crc32.MakeTable(crc32.Castagnoli)

// A parser reads the lines of one list.
type parser struct {
	lines *bufio.Reader
	list  List
	n     int    // number of the line
	crc   uint32 // of the lines before
}

func (p *parser) run() error {
	first, err := p.line()
	if err != nil {
		return err
	}
	if first != header {
		return corruptf("%.40q where %q is due", first, header)
	}
	for {
		crc := p.crc
		line, err := p.line()
		if err != nil {
			return err
		}
		if end, ok := strings.CutPrefix(line, "end "); ok {
			return p.end(end, crc)
		}
		if err := p.row(line); err != nil {
			return err
		}
	}
}

// line reads a line, without its end.
func (p *parser) line() (string, error) {
	p.n++
	line, err := p.lines.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", corruptf("the line is too long")
	case errors.Is(err, io.EOF):
		return "", corruptf("the file ends before its last line")
	case err != nil:
		return "", err
	}
	p.crc = crc32.Update(p.crc, crcTable, line)
	return string(line[:len(line)-1]), nil
}

// row reads the line of a message.
func (p *parser) row(line string) error {
	f := strings.Split(line, " ")
	if len(f) != 5 {
		return corruptf("%d fields where 5 are due", len(f))
	}
	order, orderErr := number(f[0], 1<<32-1)
	size, sizeErr := number(f[1], MaxSize)
	base, baseErr := unescape(f[4])
	if err := errors.Join(orderErr, sizeErr, baseErr); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if f[2] != "-" && f[2] != "h" {
		return corruptf("flags %q", f[2])
	}
	err := p.list.Add(base, Row{UID: f[3], Order: uint32(order), Size: int64(size), Hidden: f[2] == "h"})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}

// end checks the last line, behind which is nothing.
func (p *parser) end(text string, crc uint32) error {
	if want := fmt.Sprintf("%d %08x", p.list.Len(), crc); text != want {
		return corruptf("the last line says %q of what is %q", text, want)
	}
	if _, err := p.lines.ReadByte(); err == nil {
		return corruptf("there is text behind the last line")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func corruptf(format string, a ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, a...)...)
}

// number reads a decimal number as it is written: without leading zeros.
func number(s string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > most || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("%.40q is no number up to %d", s, most)
	}
	return n, nil
}

// Store writes the list as that of a Maildir: all of it or nothing, durably.
// The caller holds the maildrop's lease.
func (l *List) Store(maildir *durable.Dir) error {
	const temp = Name + ".tmp" // one writer: what is there was left by a crash
	if err := maildir.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := maildir.OpenFile(temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err = l.Format(f); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = maildir.Replace(temp, Name)
	}
	if err != nil {
		_ = maildir.Remove(temp) // the first error says more
		return err
	}
	return maildir.Sync()
}

// Format writes the list as text.
func (l *List) Format(w io.Writer) error {
	var crc uint32
	out := bufio.NewWriterSize(w, 64<<10)
	put := func(line []byte) {
		crc = crc32.Update(crc, crcTable, line)
		_, _ = out.Write(line) // Flush tells
	}
	put([]byte(header + "\n"))
	line := make([]byte, 0, maxLine)
	for base, r := range l.All() {
		line = appendRow(line[:0], base, r)
		put(line)
	}
	fmt.Fprintf(out, "end %d %08x\n", l.Len(), crc)
	return out.Flush()
}

func appendRow(b []byte, base string, r Row) []byte {
	b = append(strconv.AppendUint(b, uint64(r.Order), 10), ' ')
	b = append(strconv.AppendInt(b, r.Size, 10), ' ')
	if r.Hidden {
		b = append(b, "h "...)
	} else {
		b = append(b, "- "...)
	}
	b = append(append(b, r.UID...), ' ')
	return append(append(b, escape(base)...), '\n')
}

func printable(c byte) bool { return c >= 0x21 && c <= 0x7e }

func escape(base string) string { return maildrop.Escape(base, 3*maxBase, printable) }

// unescape undoes escape, and refuses what that does not write.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) {
			n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				break
			}
			c, i = byte(n), i+2
		}
		b.WriteByte(c)
	}
	if base := b.String(); escape(base) == s {
		return base, nil
	}
	return "", fmt.Errorf("base name %.300q", s)
}
