package migrate

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// UWFormat is what UW imapd and Panda show of UIDVALIDITY and UID.
const UWFormat = "%08Xv%08Xu"

// fromLine begins each message of an mbox, with an empty line before it or not:
// so do the servers read it.
var fromLine = regexp.MustCompile(`^From .* [0-9]{1,2}:[0-9]{2}(:[0-9]{2})? .*[0-9]{4}`)

// ReadMbox reads an mbox that UW imapd, Panda or Dovecot keeps its IMAP UIDs
// in: the UIDVALIDITY in the header field X-IMAP or X-IMAPbase of the first
// message, and in X-UID of each its UID. The first message may be UW's own,
// which is not shown. One that has no UID was never shown, and is left out.
// Sizes are not known: the servers leave out header fields, each others. name
// stands for the file in errors.
func ReadMbox(name string, r io.Reader, f Format) ([]Old, error) {
	m := &mboxReader{r: bufio.NewReaderSize(r, 4096)}
	var old []Old
	for n := 1; ; n++ {
		head, err := m.next()
		if errors.Is(err, io.EOF) {
			return old, nil
		}
		if err == nil && n == 1 {
			err = m.base(head)
		}
		if err == nil && head.uid != "" {
			var o Old
			if o, err = head.old(m.validity, f); err == nil && !(n == 1 && head.pseudo) {
				old = append(old, o)
			}
		}
		if err == nil && n > maxMessages {
			err = formatf("more than %d messages", maxMessages)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: message %d: %w", name, n, err)
		}
	}
}

// An mboxReader reads one message after the other.
type mboxReader struct {
	r        *bufio.Reader
	validity string
	found    bool // the From line of the next message
}

// A mboxHead is what the header of a message tells.
type mboxHead struct {
	digester
	base, uid string
	pseudo    bool
}

func (h *mboxHead) old(validity string, f Format) (o Old, err error) {
	if _, err := number32(h.uid); err != nil {
		return o, err
	}
	o.Header = h.sum()
	o.UID, err = f.expand(map[string]string{"uid": h.uid, "uidvalidity": validity})
	return o, err
}

// base takes the UIDVALIDITY from the first message.
func (m *mboxReader) base(h *mboxHead) error {
	m.validity, _, _ = strings.Cut(h.base, " ")
	if n, err := number32(m.validity); err != nil || n == 0 {
		return formatf("there is no UIDVALIDITY: no field X-IMAP or X-IMAPbase")
	}
	return nil
}

// next reads a message; io.EOF: there is none.
func (m *mboxReader) next() (*mboxHead, error) {
	h := &mboxHead{digester: digester{fields: map[string]*bytes.Buffer{}}}
	inHead, started := true, m.found
	for start := true; ; {
		line, err := m.r.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			if m.found = false; started {
				return h, nil
			}
			return nil, io.EOF
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return nil, err
		}
		blank := start && len(bytes.TrimRight(line, "\r\n")) == 0
		switch {
		case start && fromLine.Match(line):
			if started {
				m.found = true
				return h, nil
			}
			started = true
		case !started && !blank:
			return nil, formatf("%.40q is no beginning of an mbox", line)
		case inHead && blank:
			inHead = !started
		case inHead:
			h.line(line, start)
		}
		start = err == nil
	}
}

// line takes a piece of a header line.
func (h *mboxHead) line(line []byte, start bool) {
	if start {
		h.begin(line)
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "x-uid":
			h.uid = value
		case "x-imap", "x-imapbase":
			h.base, h.pseudo = value, strings.EqualFold(name, "x-imap")
		}
	}
	h.add(line)
}
