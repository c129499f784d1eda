package mbox

import (
	"context"
	"io"
	"time"

	"kpopd/maildrop/durable"
)

// What tests of parsers need.
var (
	FromLine    = fromLine
	DecodeIndex = func(b []byte) ([]byte, error) {
		x, err := decodeIndex(b)
		if err != nil {
			return nil, err
		}
		return x.encode(), nil
	}
	DecodeAppending = func(b []byte) []byte {
		if a := decodeAppending(b); a != nil {
			return a.encode()
		}
		return nil
	}
)

// Settled is that of a file of which both times are the same.
func Settled(changed, now time.Time) bool {
	return stamp{Mtime: changed.UnixNano(), Ctime: changed.UnixNano()}.settled(now)
}

// A Found is a message that a scan found.
type Found struct {
	Offset, End, Size int64
	Text              string // as it is stored
	Visible           string
	UIDL              string
	WireReady, Plain  bool
	Pseudo            bool
}

// Scan scans a file.
func Scan(file io.ReaderAt, size int64, format Format) ([]Found, error) {
	var all []Found
	err := newScanner(file, size, format, func(e *entry) {
		from, to := e.text()
		text, _ := io.ReadAll(io.NewSectionReader(file, from, to-from))
		visible, _ := io.ReadAll(newReader(io.NewSectionReader(file, from, to-from), format))
		all = append(all, Found{e.offset, e.end, e.size, string(text), string(visible), e.xuidl,
			e.flags&wireReady != 0, e.flags&plain != 0, e.flags&pseudo != 0})
	}).scan(context.Background(), 0)
	return all, err
}

// Count scans a file and keeps nothing of it.
func Count(ctx context.Context, file io.ReaderAt, size int64, format Format) (n int, octets int64, err error) {
	err = newScanner(file, size, format, func(e *entry) { n, octets = n+1, octets+e.size }).scan(ctx, 0)
	return n, octets, err
}

// Hold locks a mailbox as [Store.Deliver] does, until release is called.
func Hold(ctx context.Context, s *Store, name string) (release func(), err error) {
	spot, err := s.spot(name, (*durable.Dir).Open)
	if err != nil {
		return nil, err
	}
	h, err := spot.lock(ctx, true, false)
	if err != nil {
		spot.close()
		return nil, err
	}
	return func() { h.release(); spot.close() }, nil
}

// RemoveAfter removes a message after it has looked and then called between.
func RemoveAfter(ctx context.Context, s *Store, name, uid string, between func()) error {
	spot, err := s.spot(name, (*durable.Dir).Open)
	if err != nil {
		return err
	}
	defer spot.close()
	h, err := spot.lock(ctx, true, false)
	if err != nil {
		return err
	}
	defer h.release()
	v, err := h.view(ctx)
	if err != nil {
		return err
	}
	between()
	return h.remove(v, map[string]bool{uid: true})
}

// Imitate returns what another server calls a message that is written in parts.
func Imitate(u UIDs, parts ...[]byte) string {
	m := u.imitator()
	for _, p := range parts {
		m.Write(p)
	}
	return m.uid()
}
