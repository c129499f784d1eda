package krb5

import (
	"context"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

// A Context is what an accepted AP-REQ established (RFC 4120 §3.2.3). All of
// it comes from the decrypted ticket and the authenticator that its session
// key sealed; nothing is what the client merely wrote beside them.
type Context struct {
	// Client and Service are the ticket's.
	Client, Service Principal
	// Identity is the client for the rest of the server: User, Attrs
	// "principal" and "realm", Expires, Source "kerberos".
	Identity auth.Identity
	// Mutual: the client asked for an AP-REP (RFC 4120 §5.5.1, bit 2).
	Mutual bool
	// SessionKey is the ticket's; Subkey the authenticator's, with an empty
	// KeyValue where the client sent none.
	SessionKey, Subkey types.EncryptionKey
	// HasSeq reports whether the authenticator carries a sequence number, Seq.
	HasSeq bool
	Seq    uint32
	// Checksum is the authenticator's; its CksumType is 0 where there is none.
	Checksum types.Checksum

	session baseKey // of SessionKey
	ctime   time.Time
	cusec   int

	attempt *auth.Attempt // nil: nobody counts
}

// A ReplayCache remembers authenticators so that none is accepted twice.
type ReplayCache interface {
	// Seen records authenticator, the ciphertext of an AP-REQ's authenticator,
	// until the given time and reports whether it was recorded before. Look-up
	// and insertion are one atomic step for every user of the cache. On an
	// error, which wraps [auth.ErrUnavailable], nobody may be let in.
	Seen(ctx context.Context, authenticator []byte, until time.Time) (bool, error)
}
