package audit

import (
	"bytes"
	"encoding/json"
	"time"

	"kpopd/server"
)

// The longest texts of a record. A name is cut where the log cuts it; an error
// and the name of a maildrop may be longer.
const (
	maxName = 128
	maxText = 1024
)

// names are the fields that a client can make up.
var names = map[string]bool{"user": true, "authzid": true, "principal": true, "sender": true, "recipient": true}

// record returns a whole line, its end included.
func record(now time.Time, seq uint64, c *server.Conn, e server.Event) []byte {
	b := bytes.NewBufferString("{")
	add(b, "time", now.UTC().Format(time.RFC3339Nano))
	add(b, "seq", seq)
	add(b, "event", string(e.Kind))
	if c != nil {
		add(b, "conn", c.ID)
		add(b, "listener", c.Listener())
		add(b, "address", c.Client())
	}
	for _, a := range e.LogAttrs() {
		add(b, a.Key, a.Value.Resolve().Any())
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// add adds one field. A value that JSON does not have is left out: there is no
// event with one.
func add(b *bytes.Buffer, key string, value any) {
	if text, ok := value.(string); ok {
		longest := maxText
		if names[key] {
			longest = maxName
		}
		value = server.Clip(text, longest)
	}
	data, err := json.Marshal(value)
	if err != nil {
		return
	}
	if b.Len() > 1 {
		b.WriteByte(',')
	}
	b.WriteByte('"')
	b.WriteString(key) // a word of ours
	b.WriteString(`":`)
	b.Write(data)
}
