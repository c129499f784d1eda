// Package userfile checks passwords against a file of users, in the format of
// Dovecot's passwd-file:
//
//	user:{SCHEME}hash[:uid:gid:gecos:home:shell:extra]
//
// The schemes are ARGON2ID, ARGON2I, BLF-CRYPT (or BCRYPT), SHA512-CRYPT,
// SHA256-CRYPT, CRYPT (any of these by its prefix), SCRAM-SHA-256 and
// SCRAM-SHA-1 (RFC 5802, RFC 7677), CRAM-MD5 (RFC 2195) and PLAIN (or
// CLEARTEXT). A suffix ".b64" or ".hex" says that the hash is encoded so; a PLAIN
// secret with a colon needs it. There is no
// default scheme: a line without one is an error, never a plaintext password.
// Of the further fields only the extra field allow_nets has a meaning; fields
// that begin with "userdb_" are passed over, and any other is an error, for
// fear that it restricts a login somewhere else. Empty lines and lines that
// begin with # are comments.
//
// User names are compared octet by octet, first as the client sent them, then as
// SASLprep prepares them (RFC 4013), and last with what it makes of the file's,
// unless it makes the same of two; Alice is not alice. Passwords are
// compared first as prepared (RFC 4616 §2) and then as sent, because hashes
// made by other software are of whatever was typed.
package userfile

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"kpopd/auth"
)

// A File is an [auth.Authenticator] over a file of users. It follows changes
// of the file: it looks at most once a second, when somebody logs in. A file
// that has become wrong, unreadable or absent is logged, and the users read
// before stay in force. It is safe for concurrent use.
type File struct {
	// Source is what identities name as their source. Empty: "file". It must
	// not change once the File is in use.
	Source string
	// SCRAMSecret makes the salts of [File.SCRAM] for PLAIN secrets. Open sets
	// a random one. It must not change once the File is in use.
	SCRAMSecret []byte
	// Recall remembers right passwords, so that their hashes need not be
	// computed at each login. nil: they are. It must not change once the File
	// is in use.
	Recall *auth.Recall

	path    string
	log     *slog.Logger
	started time.Time

	users atomic.Pointer[table]
	due   atomic.Int64 // when to look at the file again, since started

	memory *semaphore.Weighted // what all hashes under way use, in octets
	share  int64               // of memory, the least that one hash takes

	mu      sync.Mutex // held while reading the file
	stamp   auth.Stamp
	sum     [sha256.Size]byte // of the content in force
	lastErr string
}

var (
	_ auth.Authenticator = (*File)(nil)
	_ auth.Decoyer       = (*File)(nil)
	_ auth.Finder        = (*File)(nil)
)

// Open reads the file at path. Every line must be right, nobody but the owner
// and the group may have access, and it may hold 64 MiB at most. The error
// names lines and schemes but repeats nothing of the file's content. A nil log
// is [slog.Default].
func Open(path string, log *slog.Logger) (*File, error) {
	if log == nil {
		log = slog.Default()
	}
	f := &File{
		path:    path,
		log:     log,
		started: time.Now(),
	}
	f.SCRAMSecret = make([]byte, 32)
	_, _ = rand.Read(f.SCRAMSecret) // never fails
	f.budget()
	f.due.Store(int64(lookEvery))
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// budget bounds the hashes under way to one per processor at the usual 64 MiB,
// or fewer larger ones, but never to less than the largest takes.
func (f *File) budget() {
	processors := int64(runtime.GOMAXPROCS(0))
	total := max(maxHashMemory, processors*64<<20)
	f.memory, f.share = semaphore.NewWeighted(total), total/processors
}

// Authenticate implements [auth.Authenticator] for passwords, APOP and CRAM-MD5.
// APOP needs the secret itself (RFC 1939 §7), CRAM-MD5 that or keys of its own:
// for a user whose secret is hashed they are a wrong credential, with the
// reason "no-plaintext-secret". When too many
// hashes are being computed it waits; if ctx ends first the error is
// [auth.ErrUnavailable].
func (f *File) Authenticate(ctx context.Context, p auth.Peer, c auth.Credential) (auth.Identity, error) {
	if err := ctx.Err(); err != nil {
		return auth.Identity{}, unavailable(err)
	}
	users := f.current()
	switch c := c.(type) {
	case auth.Password:
		return f.password(ctx, users.find(c.User), p, c)
	case auth.APOP:
		return f.digest(users.find(c.User), p, c)
	case auth.CRAMMD5:
		return f.digest(users.find(c.User), p, c)
	}
	return auth.Identity{}, auth.ErrUnknown
}

// Find implements [auth.Finder].
func (f *File) Find(_ context.Context, p auth.Peer, user string) (auth.Identity, error) {
	e := f.current().find(user)
	if e == nil {
		return auth.Identity{}, auth.ErrUnknown
	}
	return f.admit(e, p)
}

// Decoy implements [auth.Decoyer] with the kind of hash that most users have.
func (f *File) Decoy(ctx context.Context, c auth.Credential) {
	switch c := c.(type) {
	case auth.Password:
		if decoy := f.users.Load().decoy; decoy != nil {
			_, _ = f.verify(ctx, decoy, string(c.Secret)) // the work is all
		}
	default:
		auth.Stored{}.Proves(c)
	}
}

func (f *File) password(ctx context.Context, e *entry, p auth.Peer, c auth.Password) (auth.Identity, error) {
	if e == nil {
		return auth.Identity{}, auth.ErrUnknown
	}
	recall := f.recallFor(e, p)
	proof := recall.Of(e.sum, c.Secret)
	if recall.Has(proof) {
		return f.admit(e, p)
	}
	ok, err := f.verify(ctx, e.secret, string(c.Secret))
	switch {
	case err != nil:
		return auth.Identity{}, unavailable(err)
	case !ok:
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "wrong-password")
	}
	recall.Keep(proof)
	return f.admit(e, p)
}

// recallFor returns what remembers e's password, nil where its hash costs
// nothing worth it. From where allow_nets forbids, the hash is always computed:
// an answer that came sooner would tell that the guess was right.
func (f *File) recallFor(e *entry, p auth.Peer) *auth.Recall {
	if e.secret.memory() == 0 || !e.allows(p.Addr.Addr()) {
		return nil
	}
	return f.Recall
}

// digest checks a credential that is a digest of the secret.
func (f *File) digest(e *entry, p auth.Peer, c auth.Credential) (auth.Identity, error) {
	if e == nil {
		return auth.Identity{}, auth.ErrUnknown
	}
	s, _ := e.secret.(stored)
	switch proven, able := s.Proves(c); {
	case !able:
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "no-plaintext-secret")
	case !proven:
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "wrong-digest")
	}
	return f.admit(e, p)
}

// admit vouches for e's user at p. Where allow_nets forbids p, the answer is
// that of a wrong password, and comes as late: from there, nobody learns
// whether a guess was right.
func (f *File) admit(e *entry, p auth.Peer) (auth.Identity, error) {
	if !e.allows(p.Addr.Addr()) {
		return auth.Identity{}, auth.Refuse(auth.ErrCredentials, "address-not-allowed")
	}
	source := f.Source
	if source == "" {
		source = "file"
	}
	return auth.Identity{User: e.user, Source: source}, nil
}

// verify reports whether password, prepared or as it is, is s. It does the
// same work whether or not it is, and waits for memory as long as ctx lasts.
func (f *File) verify(ctx context.Context, s secret, password string) (bool, error) {
	if password == "" || len(password) > maxPassword || strings.IndexByte(password, 0) >= 0 {
		// A NUL must not get as far as the hash: to HMAC, and so to SCRAM, a
		// key with NULs behind it is the same key; to bcrypt, "pw" and
		// "pw\x00pw" are the same.
		return false, nil
	}
	if n := s.memory(); n > 0 {
		n = max(n, f.share)
		if err := f.memory.Acquire(ctx, n); err != nil {
			return false, err
		}
		defer f.memory.Release(n)
	}
	matched := false
	for _, candidate := range candidates(password) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		matched = s.matches(candidate) || matched
	}
	return matched, nil
}

// candidates returns what may have been hashed when password is typed.
func candidates(password string) []string {
	prepared, ok := auth.Prepare(password)
	if !ok || prepared == password {
		return []string{password}
	}
	return []string{prepared, password}
}

func unavailable(err error) error {
	return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrUnavailable, err), "busy")
}

// An entry is one line of the file.
type entry struct {
	user   string
	secret secret
	sum    [sha256.Size]byte // of user and secret, as they stand in the file
	nets   []netip.Prefix    // empty: from anywhere
}

func (e *entry) allows(addr netip.Addr) bool {
	if len(e.nets) == 0 {
		return true
	}
	addr = addr.Unmap().WithZone("")
	for _, net := range e.nets {
		if net.Contains(addr) {
			return true
		}
	}
	return false
}
