package load

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// An Entry is a line of a manifest: a message, by its unique-id or its number
// in the maildrop, with what RETR sends of it, lines ending in CRLF and dots not
// doubled.
type Entry struct {
	UID    string `json:"uid,omitempty"`
	Number int    `json:"number,omitempty"`
	Octets int64  `json:"octets"`
	SHA256 string `json:"sha256"` // in hexadecimal

	sum [sha256.Size]byte
}

// A Manifest says what messages should be. One by numbers is good for accounts
// that all hold the same.
type Manifest struct {
	byUID    map[string]*Entry
	byNumber map[int]*Entry
}

// ReadManifest reads the JSON lines of a manifest, all of which have unique-ids
// or all numbers.
func ReadManifest(r io.Reader) (*Manifest, error) {
	m := &Manifest{map[string]*Entry{}, map[int]*Entry{}}
	d := json.NewDecoder(bufio.NewReader(r))
	for line := 1; ; line++ {
		e := &Entry{}
		if err := d.Decode(e); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("manifest, line %d: %w", line, err)
		}
		if n, err := hex.Decode(e.sum[:], []byte(e.SHA256)[:min(len(e.SHA256), 2*len(e.sum))]); err != nil || n != len(e.sum) || len(e.SHA256) != 2*n {
			return nil, fmt.Errorf("manifest, line %d: no SHA-256", line)
		}
		switch {
		case e.UID != "" && e.Number == 0:
			m.byUID[e.UID] = e
		case e.UID == "" && e.Number > 0:
			m.byNumber[e.Number] = e
		default:
			return nil, fmt.Errorf("manifest, line %d: neither a unique-id nor a number", line)
		}
	}
	if (len(m.byUID) == 0) == (len(m.byNumber) == 0) {
		return nil, errors.New("manifest: messages have neither all unique-ids nor all numbers")
	}
	return m, nil
}
