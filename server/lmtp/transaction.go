package lmtp

import (
	"cmp"
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"kpopd/server"
)

// A transaction is a message on its way, from MAIL on.
type transaction struct {
	sender Address
	utf8   bool // SMTPUTF8 (RFC 6531)
	tried  int  // RCPT commands
	rcpts  []recipient
	id     string
	chunks bool // BDAT has begun
}

// A recipient is one that was accepted.
type recipient struct {
	addr   Address
	target Target
	copy   int // the index of the delivery that is his
}

// mailFrom begins a message.
func (s *session) mailFrom(_ context.Context, args string) error {
	path, params, err := s.path(args, "FROM:", s.mail == nil)
	if err != nil {
		return err
	}
	t := &transaction{sender: path}
	for p := range strings.FieldsSeq(params) {
		if err := s.mailParameter(t, p); err != nil {
			return err
		}
	}
	if !t.utf8 && !path.IsASCII() { // RFC 6531 §3.5
		return bad(553, "5.6.7", "This address needs SMTPUTF8")
	}
	// The time and a count, so that no two processes share an id by chance.
	t.id = strconv.FormatInt(time.Now().Unix(), 36) + "." + s.c.ID + "." + strconv.FormatUint(s.h.count.Add(1), 36)
	s.mail = t
	return s.ok(250, "2.1.0", "Sender ok")
}

// path parses the path of MAIL or RCPT.
func (s *session) path(args, keyword string, now bool) (a Address, params string, err error) {
	if !now {
		return a, "", s.wrong(bad(503, "5.5.1", "Not now"))
	}
	if len(args) < len(keyword) || !strings.EqualFold(args[:len(keyword)], keyword) {
		return a, "", s.wrong(bad(501, "5.5.4", "%s<address> is missing", keyword))
	}
	a, params, ok := ParsePath(strings.TrimLeft(args[len(keyword):], " "))
	if !ok || params != "" && params[0] != ' ' {
		status := "5.1.3" // RFC 3463 §3.2
		if keyword == "FROM:" {
			status = "5.1.7"
		}
		return a, "", bad(501, status, "That is no address")
	}
	return a, params, nil
}

// mailParameter takes a parameter of MAIL.
func (s *session) mailParameter(t *transaction, p string) error {
	name, value, _ := strings.Cut(p, "=")
	switch strings.ToUpper(name) {
	case "SMTPUTF8":
		t.utf8 = true
	case "BODY":
		if v := strings.ToUpper(value); v != "7BIT" && v != "8BITMIME" {
			return bad(501, "5.5.4", "This BODY is not taken here")
		}
	case "SIZE": // RFC 1870 §5
		size, err := strconv.ParseUint(value, 10, 63)
		if err != nil {
			return bad(501, "5.5.4", "SIZE is no number")
		}
		if s.h.MaxSize > 0 && size > uint64(s.h.MaxSize) {
			return ErrTooLarge
		}
	default:
		return bad(555, "5.5.4", "Unknown parameter of MAIL")
	}
	return nil
}

// rcptTo adds a recipient.
func (s *session) rcptTo(ctx context.Context, args string) error {
	addr, params, err := s.path(args, "TO:", s.mail != nil && !s.mail.chunks)
	switch {
	case err != nil:
		return err
	case strings.TrimSpace(params) != "":
		return bad(555, "5.5.4", "Unknown parameter of RCPT")
	case addr.Local == "":
		return bad(501, "5.1.3", "That is no address")
	case !s.mail.utf8 && !addr.IsASCII():
		return bad(553, "5.6.7", "This address needs SMTPUTF8")
	}
	t := s.mail
	if t.tried++; t.tried > s.h.maxRecipients() {
		return bad(452, "4.5.3", "Too many recipients") // RFC 5321 §4.5.3.1.10
	}
	target, err := s.h.Resolve(ctx, addr, s.peer())
	if err != nil {
		s.record(ctx, addr, Target{}, 0, AsError(err, s.h.OverQuota))
		return err
	}
	t.rcpts = append(t.rcpts, recipient{addr: addr, target: target})
	return s.ok(250, "2.1.5", "Recipient ok")
}

// record tells operators what became of a delivery; e nil: it is there.
func (s *session) record(ctx context.Context, addr Address, target Target, size int64, e *Error) {
	ev := server.Event{Kind: server.EventDelivery, Maildrop: target.Maildrop}
	ev.Attrs = []slog.Attr{
		slog.String("id", s.mail.id), slog.String("sender", server.Clip(s.mail.sender.String(), maxShown)),
		slog.String("recipient", server.Clip(addr.String(), maxShown)),
	}
	if size > 0 {
		ev.Attrs = append(ev.Attrs, slog.Int64("octets", size))
	}
	status := "2.0.0"
	if e != nil {
		status, ev.Reason, ev.Err = e.Status, e.reason(), cmp.Or(e.Err, error(e))
	}
	ev.Attrs = append(ev.Attrs, slog.String("status", status))
	s.c.Record(ctx, ev)
}

// maxShown bounds an address in the log, in octets.
const maxShown = 320

// ready checks that a text may come now.
func (s *session) ready() *Error {
	switch {
	case s.mail == nil:
		return s.wrong(bad(503, "5.5.1", "MAIL comes first"))
	case len(s.mail.rcpts) == 0: // RFC 2033 §4.2
		return bad(503, "5.5.1", "There is no recipient")
	}
	return nil
}
