package migrate

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// An Export is a message as it goes back to an old server, in the order of its
// number.
type Export struct {
	Base string
	UID  string
	Size int64
}

// WriteUIDList writes a dovecot-uidlist by which Dovecot shows the messages
// as they are here: each with its unique-id in field P and its place in field
// O. before, which may be nil, is the one that Dovecot left: its UIDs,
// UIDVALIDITY and GUIDs stay. validity is the UIDVALIDITY where it is nil.
func WriteUIDList(w io.Writer, all []Export, before *UIDList, validity uint32) error {
	if before == nil {
		before = &UIDList{Validity: validity}
	}
	at := make(map[string]int, len(all))
	for i, e := range all {
		at[e.Base] = i
	}
	var lines []string
	last := before.Next - min(before.Next, 1) // no UID comes twice
	for _, r := range before.Records {
		last = max(last, r.UID)
		if i, ok := at[r.Base]; ok {
			lines = append(lines, all[i].uidLine(r, i))
			delete(at, r.Base)
		}
	}
	for i, e := range all {
		if _, missing := at[e.Base]; missing {
			last++
			lines = append(lines, e.uidLine(UIDRecord{UID: last}, i))
		}
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "3 V%d N%d%s\n", before.Validity, last+1, before.guid())
	for _, line := range lines {
		_, _ = out.WriteString(line) // Flush tells
	}
	return out.Flush()
}

// uidLine is the line of the message at index i, which has the UID and the GUID
// of r.
func (e *Export) uidLine(r UIDRecord, i int) string {
	guid := ""
	if r.GUID != "" {
		guid = " G" + r.GUID
	}
	return fmt.Sprintf("%d P%s O%d W%d%s :%s\n", r.UID, e.UID, i+1, e.Size, guid, e.Base)
}

func (l *UIDList) guid() string {
	if l.GUID == "" {
		return ""
	}
	return " G" + l.GUID
}

// WriteSizeList writes a courierpop3dsizelist by which Courier shows the
// messages as they are here. Courier knows few unique-ids: those that it made,
// and those that the files' names make; and it numbers by the files' names. The
// messages to which it would give another unique-id are returned; they are not
// written.
func WriteSizeList(w io.Writer, all []Export, validity uint32) (lost []Export, err error) {
	out := bufio.NewWriter(w)
	next := uint32(1)
	var lines []string
	for _, e := range all {
		n, v, ok := courierNumbers(e)
		if !ok {
			lost = append(lost, e)
			continue
		}
		next = max(next, n+1)
		// Courier compares names up to a colon, which there must be.
		lines = append(lines, fmt.Sprintf("%s:2, %d %d:%d:0\n", e.Base, e.Size, n, v))
	}
	fmt.Fprintf(out, "/3 %d %d\n", next, validity)
	for _, line := range lines {
		_, _ = out.WriteString(line) // Flush tells
	}
	return lost, out.Flush()
}

// courierNumbers returns the UID and UIDVALIDITY that make Courier show the
// unique-id of e.
func courierNumbers(e Export) (n, v uint32, ok bool) {
	if e.UID == courierName(e.Base) {
		return 0, 0, true
	}
	text, ok := strings.CutPrefix(e.UID, "UID")
	if !ok {
		return 0, 0, false
	}
	number, validity, _ := strings.Cut(text, "-")
	n, _ = number32(number)
	v, _ = number32(validity)
	made, err := courierUID(3, fmt.Sprintf("%d:%d:0", n, v), e.Base)
	return n, v, err == nil && made == e.UID
}
