package krb5

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/types"
)

// maxCandidates bounds the keys that are tried on one ticket, and with them
// the work that a stranger can ask for.
const maxCandidates = 4

// A KeySource gives the service keys of the moment. It is safe for concurrent
// use.
type KeySource interface {
	// Keys returns an immutable snapshot, nil or empty if there are no keys.
	Keys() *KeySet
}

// A Key is one service key. It never prints its secret.
type Key struct {
	Principal Principal
	Kvno      uint32
	Etype     int32
	// Created is the time of the keytab entry.
	Created time.Time

	secret []byte
	// tickets is what tickets for the service are sealed with; nil for an
	// enctype that this package does not implement. Deriving it once makes a
	// login cheaper.
	tickets *sealKeys
	// narrow: only the low eight bits of Kvno are known.
	narrow bool
	// retired is when a key that the keytab no longer holds stops being
	// tried; zero for a current key.
	retired time.Time
}

// String names the key without its secret, and so does every fmt verb.
func (k Key) String() string {
	return fmt.Sprintf("%s kvno %d enctype %d", k.Principal, k.Kvno, k.Etype)
}

// Format keeps the secret out of verbs such as %+v and %#v.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// LogValue keeps the secret out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

func (k Key) encryptionKey() types.EncryptionKey {
	return types.EncryptionKey{KeyType: k.Etype, KeyValue: k.secret}
}

// matches reports whether k may be the key of version kvno. An entry that only
// has the old eight-bit field is compared modulo 256; 0 is any version.
func (k Key) matches(kvno uint32) bool {
	return kvno == 0 || k.Kvno == kvno || k.narrow && k.Kvno == kvno&0xff
}

// same reports whether two keys of one principal are the same.
func (k Key) same(o Key) bool {
	return k.Kvno == o.Kvno && k.Etype == o.Etype && slices.Equal(k.secret, o.secret)
}

// A KeySet is an immutable set of service keys. A nil KeySet is empty.
type KeySet struct {
	keys       []Key
	byName     map[string][]Key // newest first
	realms     []string         // of current keys, as are the next two
	services   map[string]bool
	principals []Principal
}

func newKeySet(keys []Key) *KeySet {
	s := &KeySet{keys: keys, byName: map[string][]Key{}, services: map[string]bool{}}
	for i := range keys {
		if tickets, err := newSealKeys(keys[i].encryptionKey(), keyusage.KDC_REP_TICKET); err == nil {
			keys[i].tickets = &tickets
		}
	}
	slices.SortStableFunc(s.keys, newestFirst)
	for _, k := range s.keys {
		name := k.Principal.String()
		s.byName[name] = append(s.byName[name], k)
		if !k.retired.IsZero() {
			continue
		}
		s.services[k.Principal.Components[0]] = true
		s.realms = append(s.realms, k.Principal.Realm)
		s.principals = append(s.principals, k.Principal)
	}
	slices.Sort(s.realms)
	s.realms = slices.Compact(s.realms)
	slices.SortFunc(s.principals, func(a, b Principal) int { return cmp.Compare(a.String(), b.String()) })
	s.principals = slices.CompactFunc(s.principals, Principal.Equal)
	return s
}

// newestFirst orders current keys before retired ones, and higher versions
// before lower. The time of the entry decides only between equal versions: it
// says when an entry was written, not when its key was made.
func newestFirst(a, b Key) int {
	if a.retired.IsZero() != b.retired.IsZero() {
		if a.retired.IsZero() {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.Kvno, a.Kvno), b.Created.Compare(a.Created))
}

// Lookup returns the keys to try, at most a few, on a ticket for sname that
// was sealed with version kvno (0: not said) of an enctype. Keys of the named
// principal come first: those of that version, else the newest one, because
// administrators number keytabs wrongly. For a name that the set does not know
// they are the keys of the same service in the same realm, because a KDC may
// know that service by an alias.
func (s *KeySet) Lookup(sname Principal, kvno int, etype int32) []Key {
	if s == nil || len(sname.Components) == 0 {
		return nil
	}
	now := time.Now()
	var exact, newest []Key
	for _, k := range s.named(sname) {
		switch {
		case k.Etype != etype || !k.retired.IsZero() && now.After(k.retired):
		case k.matches(uint32(kvno)):
			exact = append(exact, k)
		case newest == nil:
			newest = append(newest, k)
		}
	}
	if len(exact) == 0 {
		exact = newest
	}
	return exact[:min(len(exact), maxCandidates)]
}

// named returns the keys of sname, or of its service if sname is unknown.
func (s *KeySet) named(sname Principal) []Key {
	if keys := s.byName[sname.String()]; keys != nil {
		return keys
	}
	var keys []Key
	for _, k := range s.keys {
		if k.Principal.Realm == sname.Realm && k.Principal.Components[0] == sname.Components[0] {
			keys = append(keys, k)
		}
	}
	return keys
}

// Knows reports whether the set holds a key of exactly this principal.
func (s *KeySet) Knows(p Principal) bool { return s != nil && len(s.byName[p.String()]) > 0 }

// Realms returns the realms of the current keys, sorted.
func (s *KeySet) Realms() []string {
	if s == nil {
		return nil
	}
	return slices.Clone(s.realms)
}

// isHome reports whether there is a current key for a service in a realm. The
// keys of other services in the same file say nothing about it.
func (s *KeySet) isHome(service, realm string) bool {
	return s != nil && slices.ContainsFunc(s.principals, func(p Principal) bool {
		return p.Components[0] == service && p.Realm == realm
	})
}

// HasService reports whether there is a current key for a service, the first
// component of its principals.
func (s *KeySet) HasService(service string) bool { return s != nil && s.services[service] }

// Principals returns the principals of the current keys, sorted by their text.
func (s *KeySet) Principals() []Principal {
	if s == nil {
		return nil
	}
	return slices.Clone(s.principals)
}

// only says whose keys there are, for an error.
func (s *KeySet) only() string {
	const most = 8
	var names []string
	for _, p := range s.Principals() {
		names = append(names, p.String())
	}
	switch {
	case len(names) == 0:
		return "only keys of other enctypes than AES, or none"
	case len(names) > most:
		names = append(names[:most], "...")
	}
	return "only keys of " + strings.Join(names, ", ")
}

// All returns the keys, current ones first.
func (s *KeySet) All() []Key {
	if s == nil {
		return nil
	}
	return slices.Clone(s.keys)
}
