package migrate

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// A UIDList is Dovecot's file dovecot-uidlist, which tells the IMAP UIDs of a
// Maildir's messages:
//
//	3 V1328372225 N5 G3a5b9c1f0c2d3e4f5a6b7c8d9e0f1a2b
//	1 W2210 :1328372225.M12P7.old.example
//	4 O1 Pold-unique-id :1328372226.M99P7.old.example:2,S
type UIDList struct {
	// Validity is the UIDVALIDITY, Next the next message's UID, and GUID the
	// mailbox's.
	Validity, Next uint32
	GUID           string
	// Records are in the order of their UIDs.
	Records []UIDRecord
}

// A UIDRecord is what the file says of one message.
type UIDRecord struct {
	UID  uint32
	Base string // base name of the message's file
	// POP3 is field P, the unique-id that was set for the message; HasPOP3:
	// there is one. An empty one means the base name.
	POP3    string
	HasPOP3 bool
	Order   uint32 // field O; 0: none
	Size    int64  // field W, or W= in the name; 0: neither
	GUID    string // field G; empty: the base name
}

// ReadUIDList reads the file, of version 3 or 1; name stands for it in errors.
func ReadUIDList(name string, r io.Reader) (*UIDList, error) {
	l := &UIDList{}
	at := map[string]int{}
	version, last := "", uint32(0)
	err := eachLine(name, r, func(n int, line string) (err error) {
		if n == 1 {
			version, err = l.header(line)
			return err
		}
		rec, err := parseUIDRecord(version, line)
		if err == nil && rec.UID <= last {
			err = formatf("UID %d follows %d", rec.UID, last)
		}
		if err != nil {
			return err
		}
		last = rec.UID
		if i, twice := at[rec.Base]; twice {
			l.Records[i].UID = 0 // the file came back, and has a new UID since
		}
		at[rec.Base] = len(l.Records)
		l.Records = append(l.Records, rec)
		return nil
	})
	if err == nil && l.Validity == 0 {
		err = fmt.Errorf("%s: %w", name, formatf("there is no UIDVALIDITY"))
	}
	l.Records = slices.DeleteFunc(l.Records, func(r UIDRecord) bool { return r.UID == 0 })
	return l, err
}

// header reads the first line: "3 V<uidvalidity> N<next uid> …" or
// "1 <uidvalidity> <next uid>".
func (l *UIDList) header(line string) (version string, err error) {
	f := strings.Fields(line)
	switch {
	case len(f) == 3 && f[0] == "1":
		f = []string{"1", "V" + f[1], "N" + f[2]}
	case len(f) > 0 && f[0] == "3":
	default:
		return "", formatf("%.40q is no header of a dovecot-uidlist", line)
	}
	for _, field := range f[1:] {
		switch {
		case err != nil:
		case field[0] == 'V':
			l.Validity, err = number32(field[1:])
		case field[0] == 'N':
			l.Next, err = number32(field[1:])
		case field[0] == 'G':
			l.GUID = field[1:]
		}
	}
	return f[0], err
}

func parseUIDRecord(version, line string) (UIDRecord, error) {
	digits, rest, ok := strings.Cut(line, " ")
	uid, err := number32(digits)
	if err != nil || !ok || uid == 0 {
		return UIDRecord{}, formatf("%.40q does not begin with a UID", line)
	}
	rec := UIDRecord{UID: uid}
	if version == "3" {
		if rest, err = rec.fields(rest); err != nil {
			return rec, err
		}
	}
	rec.Base = baseOf(rest)
	if rec.Base == "" || strings.Contains(rest, "/") {
		return rec, formatf("file name %.300q", rest)
	}
	if rec.Size == 0 {
		rec.Size = sizeIn(rec.Base)
	}
	return rec, nil
}

// fields reads a record's fields, each a letter and a value, up to the colon
// before the file's name.
func (r *UIDRecord) fields(text string) (name string, err error) {
	for {
		text = strings.TrimLeft(text, " ")
		if name, ok := strings.CutPrefix(text, ":"); ok {
			return name, nil
		}
		field, rest, ok := strings.Cut(text, " ")
		if !ok || field == "" || field[0] < 'A' || field[0] > 'Z' {
			return "", formatf("field %.80q", field)
		}
		value := field[1:]
		switch field[0] {
		case 'P':
			r.POP3, r.HasPOP3 = value, true
		case 'O':
			r.Order, err = number32(value)
		case 'W':
			r.Size, err = number63(value)
		case 'G':
			r.GUID = value
		}
		if err != nil {
			return "", err
		}
		text = rest
	}
}

// sizeIn returns the size that a name tells in its field W=; 0: none.
func sizeIn(base string) int64 {
	_, fields, _ := strings.Cut(base, ",")
	for field := range strings.SplitSeq(fields, ",") {
		if value, ok := strings.CutPrefix(field, "W="); ok {
			n, _ := number63(value)
			return n
		}
	}
	return 0
}

func number32(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, formatf("%.40q is no number of 32 bits", s)
	}
	return uint32(n), nil
}

func number63(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n > 999_999_999_999_999 {
		return 0, formatf("%.40q is no size", s)
	}
	return int64(n), nil
}

// A DovecotPOP3 is how Dovecot was set to make unique-ids.
type DovecotPOP3 struct {
	// Format is pop3_uidl_format.
	Format Format
	// Rename is pop3_uidl_duplicates = rename.
	Rename bool
	// Hidden tells which messages pop3_deleted_flag hides. nil: none.
	Hidden func(base string) bool
}

// Messages returns what Dovecot showed: by order, where there is one, then by
// UID.
func (l *UIDList) Messages(c DovecotPOP3) ([]Old, error) {
	type numbered struct {
		Old
		order uint32
	}
	all := make([]numbered, 0, len(l.Records))
	seen := map[string]int{}
	for _, r := range l.Records {
		uid, err := c.uid(l.Validity, r)
		if err != nil {
			return nil, err
		}
		if c.Rename {
			uid = rename(seen, uid)
		}
		o := Old{UID: uid, Size: r.Size, Base: r.Base, Hidden: c.Hidden != nil && c.Hidden(r.Base)}
		all = append(all, numbered{o, r.Order - 1}) // none comes last
	}
	slices.SortStableFunc(all, func(a, b numbered) int { return cmp.Compare(a.order, b.order) })
	old := make([]Old, len(all))
	for i := range all {
		old[i] = all[i].Old
	}
	return old, nil
}

// uid makes the unique-id of a record.
func (c *DovecotPOP3) uid(validity uint32, r UIDRecord) (string, error) {
	switch {
	case r.HasPOP3 && r.POP3 == "":
		return r.Base, nil
	case r.HasPOP3:
		return r.POP3, nil
	}
	return c.Format.expand(map[string]string{
		"uid": fmt.Sprint(r.UID), "uidvalidity": fmt.Sprint(validity), "filename": r.Base, "guid": cmp.Or(r.GUID, r.Base),
	})
}

// rename does what Dovecot does to the second message with a unique-id, the
// third, and so on.
func rename(seen map[string]int, uid string) string {
	for seen[uid] > 0 {
		seen[uid]++
		uid += fmt.Sprintf("-%d", seen[uid])
	}
	seen[uid] = 1
	return uid
}

// HiddenKeyword is the keyword that hides messages where Dovecot has
// pop3_delete_type = flag and pop3_deleted_flag = $POP3Deleted.
const HiddenKeyword = "$POP3Deleted"

// ReadKeywords reads Dovecot's file dovecot-keywords, lines of a number and a
// keyword, and returns the letter that stands for a keyword in the flags of
// files' names. 0: none.
func ReadKeywords(name string, r io.Reader, keyword string) (letter byte, err error) {
	err = eachLine(name, r, func(_ int, line string) error {
		digits, word, ok := strings.Cut(line, " ")
		n, err := number32(digits)
		switch {
		case err != nil || !ok:
			return formatf("%.80q is no number and keyword", line)
		case strings.EqualFold(word, keyword) && n < 26: // only so many have letters
			letter = byte('a' + n)
		}
		return nil
	})
	return letter, err
}

// HasFlag reports whether a file's name has a flag.
func HasFlag(name string, letter byte) bool {
	_, flags, ok := strings.Cut(name, ":2,")
	if end := strings.IndexByte(flags, ','); end >= 0 {
		flags = flags[:end]
	}
	return ok && strings.IndexByte(flags, letter) >= 0
}
