// Package memory keeps maildrops in memory: a Store and a Locker for tests and
// for trying things out, and the plainest statement of what a backend does.
// Nothing survives the process.
package memory

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"kpopd/maildrop"
)

var (
	_ maildrop.Store  = (*Store)(nil)
	_ maildrop.Locker = (*Locker)(nil)
)

// A Store keeps messages in memory. The zero value is empty and ready. A
// maildrop that nothing was delivered to is empty; names follow
// [maildrop.CheckName].
type Store struct {
	mu     sync.Mutex
	boxes  map[string][]message
	tokens map[string]uint64 // the highest that was seen of each maildrop
	last   uint64            // the last unique-id given out
}

type message struct {
	maildrop.Message
	text      []byte
	wireReady bool
}

// Deliver adds msg.
func (s *Store) Deliver(ctx context.Context, name string, msg io.Reader) error {
	if err := maildrop.CheckName(name); err != nil {
		return err
	}
	text, err := io.ReadAll(msg)
	if err != nil {
		return fmt.Errorf("deliver to %q: %w", name, err)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("deliver to %q: %w", name, err)
	}
	size, ready, err := maildrop.Measure(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("deliver to %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	m := message{maildrop.Message{UID: strconv.FormatUint(s.last, 36), Size: size}, text, ready}
	if s.boxes == nil {
		s.boxes = make(map[string][]message)
	}
	s.boxes[name] = append(s.boxes[name], m)
	return nil
}

// Open returns a view of the messages that are there now. It refuses a lease
// whose token is lower than one it has seen.
func (s *Store) Open(ctx context.Context, l maildrop.Lease) (maildrop.Box, error) {
	if err := maildrop.CheckName(l.Name()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fence(l); err != nil {
		return nil, fmt.Errorf("open %q: %w", l.Name(), err)
	}
	b := &box{store: s, lease: l, held: slices.Clone(s.boxes[l.Name()])}
	b.msgs = make([]maildrop.Message, len(b.held))
	for i, m := range b.held {
		b.msgs[i] = m.Message
	}
	return b, nil
}

// fence refuses a lease that is lost or overtaken, and notes a newer one.
func (s *Store) fence(l maildrop.Lease) error {
	if err := maildrop.Live(l); err != nil {
		return err
	}
	if l.Token() < s.tokens[l.Name()] {
		return maildrop.ErrStale
	}
	if s.tokens == nil {
		s.tokens = make(map[string]uint64)
	}
	s.tokens[l.Name()] = l.Token()
	return nil
}

type box struct {
	store *Store
	lease maildrop.Lease
	held  []message
	msgs  []maildrop.Message
}

func (b *box) Messages() []maildrop.Message { return b.msgs }

func (b *box) Retrieve(ctx context.Context, i int) (maildrop.Content, error) {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	for _, m := range b.store.boxes[b.lease.Name()] {
		if m.UID == b.held[i].UID {
			return maildrop.Content{ReadCloser: io.NopCloser(bytes.NewReader(m.text)), WireReady: m.wireReady}, nil
		}
	}
	return maildrop.Content{}, maildrop.ErrVanished
}

func (b *box) Remove(ctx context.Context, indexes []int) error {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	name := b.lease.Name()
	if err := b.store.fence(b.lease); err != nil {
		return fmt.Errorf("remove from %q: %w", name, err)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("remove from %q: %w", name, err)
	}
	gone := make(map[string]bool, len(indexes))
	for _, i := range indexes {
		gone[b.held[i].UID] = true
	}
	// A fresh slice: other views share the old one.
	var kept []message
	for _, m := range b.store.boxes[name] {
		if !gone[m.UID] {
			kept = append(kept, m)
		}
	}
	b.store.boxes[name] = kept
	return nil
}

func (b *box) Close() error { return nil }

// A Locker locks maildrops within one process. The zero value is ready.
type Locker struct {
	mu     sync.Mutex
	held   map[string]bool
	tokens map[string]uint64
}

// Lock locks name.
func (k *Locker) Lock(ctx context.Context, name string) (maildrop.Lease, error) {
	if err := maildrop.CheckName(name); err != nil {
		return nil, err
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("lock %q: %w", name, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held[name] {
		return nil, maildrop.ErrLocked
	}
	if k.held == nil {
		k.held, k.tokens = make(map[string]bool), make(map[string]uint64)
	}
	k.held[name] = true
	k.tokens[name]++
	return &lease{locker: k, name: strings.Clone(name), token: k.tokens[name], lost: make(chan struct{})}, nil
}

type lease struct {
	locker *Locker
	name   string
	token  uint64
	lost   chan struct{}
	once   sync.Once
}

func (l *lease) Name() string          { return l.name }
func (l *lease) Token() uint64         { return l.token }
func (l *lease) Lost() <-chan struct{} { return l.lost }

func (l *lease) Release() error {
	l.once.Do(func() {
		l.locker.mu.Lock()
		defer l.locker.mu.Unlock()
		delete(l.locker.held, l.name)
		close(l.lost)
	})
	return nil
}
