package pop3_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"kpopd/server/pop3"
)

// The timestamp is an RFC 822 msg-id, no two are the same, and what differs is
// more than a counter.
func TestNewTimestamp(t *testing.T) {
	const rounds = 10_000
	next := pop3.NewTimestamp("pop.example.test")
	form := regexp.MustCompile(`^<([A-Z2-7]{26,})\.[0-9]+@pop\.example\.test>$`)
	seen := map[string]bool{}
	for range rounds {
		stamp := next()
		match := form.FindStringSubmatch(stamp)
		if match == nil {
			t.Fatalf("%q is no msg-id", stamp)
		}
		for _, piece := range []string{match[1][:10], match[1][len(match[1])-10:]} {
			if seen[piece] {
				t.Fatalf("%q repeats fifty bits of an earlier one", stamp)
			}
			seen[piece] = true
		}
	}
}

// Whatever a client calls itself, an event is one line of the log, without
// control characters and without the password.
func TestLogInjection(t *testing.T) {
	w := newPlainWorld(t)
	w.srv.Recorder = nil
	w.srv.Log = slog.New(slog.NewJSONHandler(writerFunc(w.writeLog), nil))
	for _, name := range []string{
		"%n%s%x", "\x1b[31mred\x1b[0m", "a\rlevel=INFO msg=login", "\x01\x7f\xff\xfe", `","msg":"login","user":"root`,
		"\u2028\u202eadmin", strings.Repeat("n", 490),
	} {
		w.renew(t)
		got := w.converse(t, []byte("USER "+name+"\r\nPASS krb_ticket\r\nQUIT\r\n"))
		if !bytes.Contains(got, []byte("-ERR [AUTH] Authentication failed\r\n")) {
			t.Fatalf("user %q: got %q", name, got)
		}
		log := strings.TrimSuffix(w.log.String(), "\n")
		var event struct{ Msg, User string }
		if err := json.Unmarshal([]byte(log), &event); err != nil || event.Msg != "refused" {
			t.Errorf("user %q: %v in %q", name, err, log)
		}
		if i := strings.IndexFunc(log, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
			t.Errorf("user %q: a control character in %q", name, log)
		}
		if strings.Contains(log, "krb_ticket") || len(event.User) > 140 {
			t.Errorf("user %q: %q", name, log)
		}
	}
}
