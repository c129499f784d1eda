// Package migrate finds out which unique-ids the messages of a maildrop had on
// the server that had it before, so that no client that leaves mail on the
// server downloads it again.
//
// Where the mail moves with its Maildir, the old server's own files tell:
// [ReadUIDList] of Dovecot, [ReadSizeList] of Courier. Where it was copied, a
// [Capture] of what the old server showed over POP3, or its mbox, tells, and
// [Match] finds each message by its size and its header.
//
// What these readers are given is not trusted: what they cannot understand is
// an error with file and line, and never another unique-id.
package migrate

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"kpopd/maildrop"
	"kpopd/maildrop/uidl"
)

// An Old is a message as the old server showed it over POP3. A list of them is
// in the order of its numbers.
type Old struct {
	UID string
	// Size is what LIST said, in octets. 0: not known.
	Size int64
	// Base is the base name of the message's file. Empty: not known.
	Base string
	// Header is the digest of its header. Empty: not known.
	Header string
	// Hidden: it was there and not shown.
	Hidden bool
}

// A Local is a message as it is here, in the order of kpopd's numbers.
type Local struct {
	Base   string
	Size   int64  // on the wire; 0: not known
	Header string // see Old
}

// A Result is what an import would make.
type Result struct {
	// List has the rows of all messages that were found.
	List *uidl.List
	// Gone are those that the old server had and that are not here.
	Gone []Old
	// Ambiguous says of a message that may be several, or cannot keep its
	// unique-id, why; it has no row.
	Ambiguous []string
	// Resized are messages whose size differs from what the old server
	// announced.
	Resized []string
	// New are the base names of those here that the old server did not have.
	New []string
}

// A pair is an old message and the base name that it has here.
type pair struct {
	old  Old
	base string
}

// ByName makes the rows of messages that kept their files.
func ByName(old []Old, local []Local) (*Result, error) {
	here := make(map[string]bool, len(local))
	for _, l := range local {
		here[l.Base] = true
	}
	r := &Result{}
	var pairs []pair
	for _, o := range old {
		if here[o.Base] {
			pairs = append(pairs, pair{o, o.Base})
		} else {
			r.Gone = append(r.Gone, o)
		}
	}
	return r, r.fill(pairs, local)
}

// fill makes the list. The old order becomes that of the list.
func (r *Result) fill(pairs []pair, local []Local) error {
	r.List = new(uidl.List)
	twice := make(map[string]int, len(pairs))
	for _, p := range pairs {
		twice[p.old.UID]++
	}
	for i, p := range pairs {
		err := uidl.CheckUID(p.old.UID)
		if err == nil && twice[p.old.UID] > 1 {
			err = fmt.Errorf("%d messages had the unique-id %q", twice[p.old.UID], p.old.UID)
		}
		if err == nil {
			err = r.List.Add(p.base, uidl.Row{UID: p.old.UID, Order: uint32(i + 1), Size: p.old.Size, Hidden: p.old.Hidden})
		}
		if err != nil {
			r.Ambiguous = append(r.Ambiguous, fmt.Sprintf("%s: %v", p.base, err))
		}
	}
	for _, l := range local {
		if _, ok := r.List.Find(l.Base); ok {
			continue
		}
		r.New = append(r.New, l.Base)
		if owner, taken := r.List.Owner(NativeUID(l.Base)); taken {
			return fmt.Errorf("the old unique-id of %s is the one that %s has here", owner, l.Base)
		}
	}
	return nil
}

// NativeUID returns the unique-id that the base name of a file makes where no
// list says otherwise.
func NativeUID(base string) string {
	return maildrop.Escape(base, 70, func(c byte) bool { return c >= 0x21 && c <= 0x7e })
}

// SortLocal sorts messages as kpopd numbers them where no list says otherwise:
// by delivery time, then by base name.
func SortLocal(all []Local) {
	slices.SortFunc(all, func(a, b Local) int {
		return cmp.Or(cmp.Compare(leading(a.Base), leading(b.Base)), strings.Compare(a.Base, b.Base))
	})
}

// leading returns the number that a name begins with.
func leading(s string) (n uint64) {
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if n > 1<<59 {
			return 1<<64 - 1
		}
		n = 10*n + uint64(s[i]-'0')
	}
	return n
}

// baseOf returns the base name of a file.
func baseOf(name string) string {
	base, _, _ := strings.Cut(name, ":")
	return base
}

// ErrFormat means a file that is not what it should be.
var ErrFormat = errors.New("not understood")

func formatf(format string, a ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrFormat}, a...)...)
}

// maxLine bounds the lines of the files that are read.
const maxLine = 8 << 10

// maxMessages bounds what is read of one maildrop.
const maxMessages = uidl.MaxRows

// eachLine calls fn with each line of r; name stands for it in errors. A line
// that has no end is an error: the file is being written, or was cut.
func eachLine(name string, r io.Reader, fn func(n int, line string) error) error {
	lines := bufio.NewReaderSize(r, maxLine)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF):
			err = formatf("the last line has no end")
		case errors.Is(err, bufio.ErrBufferFull):
			err = formatf("the line is too long")
		case err == nil && n > maxMessages:
			err = formatf("more than %d lines", maxMessages)
		case err == nil:
			err = fn(n, string(line[:len(line)-1]))
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
}

// Keep takes over what a list that was there before says: which messages are
// hidden, and of those that the old server did not have, their unique-ids. One
// that gives another unique-id to a message that it did have is an error,
// unless replace is true.
func (r *Result) Keep(before *uidl.List, replace bool) error {
	added := make(map[string]bool, len(r.New))
	for _, base := range r.New {
		added[base] = true
	}
	others := 0
	for base, row := range before.All() {
		now, ok := r.List.Find(base)
		var err error
		switch {
		case ok && now.UID != row.UID:
			others++
		case ok && row.Hidden:
			err = r.List.Hide(base, row.UID, true)
		case !ok && added[base]:
			row.Order = 0
			err = r.List.Add(base, row)
		}
		if err != nil && !replace {
			return err
		}
	}
	if others > 0 && !replace {
		return fmt.Errorf("%d messages have other unique-ids by an import before; nothing is written without -replace", others)
	}
	return nil
}
