package lease

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"kpopd/maildrop"
	"kpopd/maildrop/durable"
)

// A Record says who has a maildrop, for people and tools. It is the first line
// of the lock file:
//
//	token=0001795500000000001 pid=0000001234 since=2026-11-24T05:47:00Z maildrop="alice/Maildir" v=2 host="mail1" name="alice" user="alice" … sum=89abcdef
//
// A pid of zeros: nobody. After a crash the last holder's stays until the next
// session; only the lock says that it still holds.
type Record struct {
	File  string // of the lock
	Token uint64 // of the grant
	PID   int    // 0: nobody, or not known
	Host  string // of that process. "": not known
	Since time.Time
	Place string // what is locked. "": there is no sound record
	maildrop.Holder

	version int // 0: of the version before the first that says so
}

const (
	// recordSize is that of nearly all records, and recordMax that of the others
	// and of those that follow one of them in its file. So each replaces the one
	// before in one write, which needs no more room on a full disk.
	recordSize  = 512
	recordMax   = 4096
	tokenDigits = 19
	timeFormat  = "2006-01-02T15:04:05Z"
)

// encode returns the record as it is written to a file that has size octets.
// What a client chose is clipped, at more octets than it needs, or where the
// whole would be too long at fewer.
func (r *Record) encode(size int64) []byte {
	var line string
	for _, most := range []int{256, 64, 0} {
		line = r.line(most)
		line += fmt.Sprintf(" sum=%08x", crc32.ChecksumIEEE([]byte(line)))
		if len(line) < recordMax {
			break
		}
	}
	n := recordSize
	if len(line) >= n || size > int64(n) {
		n = recordMax
	}
	return fmt.Appendf(make([]byte, 0, n), "%-*s\n", n-1, line)
}

func (r *Record) line(most int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "token=%0*d pid=%010d since=%s maildrop=%s v=2", tokenDigits, r.Token, r.PID, r.Since.UTC().Format(timeFormat), strconv.QuoteToASCII(r.Place))
	for _, f := range r.texts() {
		text := *f.text
		if f.key != "name" && len(text) > most {
			text = text[:most]
		}
		if text != "" {
			fmt.Fprintf(&b, " %s=%s", f.key, strconv.QuoteToASCII(text))
		}
	}
	return b.String()
}

type textField struct {
	key  string
	text *string
}

func (r *Record) texts() []textField {
	return []textField{
		{"host", &r.Host}, {"name", &r.Maildrop}, {"user", &r.User}, {"mechanism", &r.Mechanism},
		{"client", &r.Client}, {"listener", &r.Listener}, {"conn", &r.Conn},
	}
}

// readRecord reads the record of a lock file. One that is not sound has no
// place, but a token if that can be read. It may be read while it is written.
func readRecord(f *durable.File) (r Record, err error) {
	buf := make([]byte, recordMax)
	for range 3 {
		n, err := f.ReadAt(buf, 0)
		if err != nil {
			return Record{}, err
		}
		var sound bool
		if r, sound = parseRecord(buf[:n]); sound {
			return r, nil
		}
	}
	return Record{Token: r.Token}, nil
}

// parseRecord takes a record apart, of this version or of the one before, which
// had no sum.
func parseRecord(b []byte) (r Record, sound bool) {
	line, _, whole := bytes.Cut(b, []byte("\n"))
	text := strings.TrimRight(string(line), " ")
	if len(text) >= len("token=")+tokenDigits && strings.HasPrefix(text, "token=") {
		r.Token, _ = strconv.ParseUint(text[len("token="):len("token=")+tokenDigits], 10, 63)
	}
	body, sum, summed := cutSum(text)
	if !whole || summed && sum != fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body))) {
		return r, false
	}
	return r, r.parse(body, summed)
}

// cutSum cuts the sum off, behind the last quotation mark.
func cutSum(text string) (body, sum string, ok bool) {
	i := strings.LastIndex(text, " sum=")
	if i < 0 || strings.Contains(text[i:], `"`) {
		return text, "", false
	}
	return text[:i], text[i+len(" sum="):], true
}

// parse reads the fields. Those that it does not know are passed over.
func (r *Record) parse(text string, summed bool) bool {
	for text != "" {
		key, rest, ok := strings.Cut(text, "=")
		if !ok {
			return false
		}
		var value string
		value, text = cutValue(rest)
		if !r.set(key, value) {
			return false
		}
	}
	return r.Place != "" && summed == (r.version > 0)
}

// cutValue cuts a value, quoted or not, and the space behind it off.
func cutValue(text string) (value, rest string) {
	quoted, err := strconv.QuotedPrefix(text)
	if err != nil {
		value, rest, _ = strings.Cut(text, " ")
		return value, rest
	}
	value, _ = strconv.Unquote(quoted) // a prefix that is quoted can be
	return value, strings.TrimPrefix(text[len(quoted):], " ")
}

func (r *Record) set(key, value string) bool {
	var err error
	switch key {
	case "token":
		r.Token, err = strconv.ParseUint(value, 10, 63)
	case "pid":
		r.PID, err = strconv.Atoi(value)
	case "since":
		r.Since, err = time.Parse(timeFormat, value)
	case "v":
		r.version, err = strconv.Atoi(value)
	case "maildrop":
		r.Place = value
	default:
		for _, f := range r.texts() {
			if f.key == key {
				*f.text = value
			}
		}
	}
	return err == nil
}
