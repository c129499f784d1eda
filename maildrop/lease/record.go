package lease

import (
	"bytes"
	"hash/crc32"
	"strconv"
	"strings"
	"sync"
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
	b := make([]byte, 0, recordSize)
	for _, most := range [...]int{256, 64, 0} {
		b = r.appendLine(b[:0], most)
		b = appendSum(b, b)
		if len(b) < recordMax {
			break
		}
	}
	n := recordSize
	if len(b) >= n || size > int64(n) {
		n = recordMax
	}
	for len(b) < n-1 {
		b = append(b, ' ')
	}
	return append(b, '\n')
}

func (r *Record) appendLine(b []byte, most int) []byte {
	b = appendNumber(append(b, "token="...), r.Token, 10, tokenDigits)
	b = appendNumber(append(b, " pid="...), uint64(r.PID), 10, 10)
	b = r.Since.UTC().AppendFormat(append(b, " since="...), timeFormat)
	b = strconv.AppendQuoteToASCII(append(b, " maildrop="...), r.Place)
	b = append(b, " v=2"...)
	for _, f := range r.texts() {
		text := *f.text
		if f.key != "name" && len(text) > most {
			text = text[:most]
		}
		if text != "" {
			b = append(append(append(b, ' '), f.key...), '=')
			b = strconv.AppendQuoteToASCII(b, text)
		}
	}
	return b
}

// appendNumber appends n with at least as many digits, zeros in front.
func appendNumber(b []byte, n uint64, base, digits int) []byte {
	var buf [20]byte
	text := strconv.AppendUint(buf[:0], n, base)
	for range digits - len(text) {
		b = append(b, '0')
	}
	return append(b, text...)
}

type textField struct {
	key  string
	text *string
}

func (r *Record) texts() [7]textField {
	return [...]textField{
		{"host", &r.Host}, {"name", &r.Maildrop}, {"user", &r.User}, {"mechanism", &r.Mechanism},
		{"client", &r.Client}, {"listener", &r.Listener}, {"conn", &r.Conn},
	}
}

// readRecord reads the record of a lock file. One that is not sound has no
// place, but a token if that can be read. It may be read while it is written.
func readRecord(f *durable.File) (r Record, err error) {
	var sound bool
	err = reread(f, func(text []byte) bool {
		r, sound = parseRecord(text)
		return sound
	})
	if !sound {
		r = Record{Token: r.Token}
	}
	return r, err
}

// readToken is readRecord for who wants the token alone.
func readToken(f *durable.File) (token uint64, err error) {
	err = reread(f, func(text []byte) bool {
		var sum sumKind
		_, token, sum = cutRecord(text)
		return sum == sumRight
	})
	return token, err
}

var records = sync.Pool{New: func() any { return new([recordMax]byte) }}

// reread reads a lock file until take says that what it got is sound, or it has
// read often enough. What take is given, it may not keep.
func reread(f *durable.File, take func(text []byte) (sound bool)) error {
	buf := records.Get().(*[recordMax]byte)
	defer records.Put(buf)
	for range 3 {
		n, err := f.ReadAt(buf[:], 0)
		if err != nil || take(buf[:n]) {
			return err
		}
	}
	return nil
}

// parseRecord takes a record apart, of this version or of the one before, which
// had no sum.
func parseRecord(b []byte) (r Record, sound bool) {
	body, token, sum := cutRecord(b)
	r.Token = token
	return r, sum != sumWrong && r.parse(string(body), sum == sumRight)
}

// A sumKind is what a record's sum says of it.
type sumKind int

const (
	sumWrong sumKind = iota // or half a line
	sumNone
	sumRight
)

// cutRecord cuts the text of a record from what fills the file and from its sum,
// which is behind the last quotation mark. The token is there even if the rest
// is wrong, or else 0.
func cutRecord(b []byte) (body []byte, token uint64, sum sumKind) {
	line, _, whole := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimRight(line, " ")
	if digits, ok := bytes.CutPrefix(line, []byte("token=")); ok && len(digits) >= tokenDigits {
		token, _ = strconv.ParseUint(string(digits[:tokenDigits]), 10, 63)
	}
	i := bytes.LastIndex(line, []byte(" sum="))
	switch {
	case !whole:
		return line, token, sumWrong
	case i < 0 || bytes.IndexByte(line[i:], '"') >= 0:
		return line, token, sumNone
	case !bytes.Equal(line[i:], appendSum(nil, line[:i])):
		return line, token, sumWrong
	}
	return line[:i], token, sumRight
}

// appendSum appends the sum of a record's text.
func appendSum(b, text []byte) []byte {
	sum := crc32.ChecksumIEEE(text)
	return appendNumber(append(b, " sum="...), uint64(sum), 16, 8)
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
	var pid uint64
	switch key {
	case "token":
		r.Token, err = strconv.ParseUint(value, 10, 63)
	case "pid":
		pid, err = strconv.ParseUint(value, 10, 31)
		r.PID = int(pid)
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
