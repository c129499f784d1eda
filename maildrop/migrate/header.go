package migrate

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
)

// digested are the header fields by which a message is known again. Servers do
// not change them, unlike Return-Path, Delivered-To, Received, Status, X-UID
// and the like, which some of them add or take away.
var digested = []string{"message-id", "date", "from", "to", "subject", "content-type"}

// maxField bounds what is digested of a field.
const maxField = 64 << 10

// DigestHeader reads a message's header, with either line end, and returns a
// digest that two copies of the message share: of some fields, the first of
// each name, however they are folded. Empty: it has none of them. Behind the
// header, nothing is read but what is buffered.
func DigestHeader(r io.Reader) (string, error) {
	d := &digester{fields: map[string]*bytes.Buffer{}}
	in := bufio.NewReaderSize(r, 4096)
	for start := true; ; {
		chunk, err := in.ReadSlice('\n')
		whole := err == nil
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return "", err
		}
		if start && len(bytes.TrimRight(chunk, "\r\n")) == 0 {
			return d.sum(), nil
		}
		if start {
			d.begin(chunk)
		}
		d.add(chunk)
		if errors.Is(err, io.EOF) {
			return d.sum(), nil
		}
		start = whole
	}
}

// A digester collects the fields that are digested.
type digester struct {
	fields map[string]*bytes.Buffer
	now    *bytes.Buffer // of the field that is being read; nil: it does not count
}

// begin looks at the beginning of a line.
func (d *digester) begin(line []byte) {
	if line[0] == ' ' || line[0] == '\t' {
		return
	}
	d.now = nil
	name, _, ok := bytes.Cut(line, []byte(":"))
	key := strings.ToLower(string(bytes.TrimRight(name, " \t")))
	if !ok || d.fields[key] != nil {
		return
	}
	for _, want := range digested {
		if key == want {
			d.now = new(bytes.Buffer)
			d.fields[key] = d.now
		}
	}
}

func (d *digester) add(chunk []byte) {
	if d.now != nil && d.now.Len() < maxField {
		d.now.Write(chunk[:min(len(chunk), maxField-d.now.Len())])
	}
}

func (d *digester) sum() string {
	if len(d.fields) == 0 {
		return ""
	}
	h := sha256.New()
	for _, name := range digested {
		if f := d.fields[name]; f != nil {
			_, value, _ := bytes.Cut(f.Bytes(), []byte(":"))
			h.Write([]byte(name + ":"))
			h.Write(bytes.Join(bytes.Fields(value), []byte(" ")))
			h.Write([]byte("\n"))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
