package krb5

import (
	"crypto/sha256"
	"fmt"
	"time"

	"kpopd/auth"
)

// DefaultReplayMax is the number of entries that a replay cache is made for
// when nothing else is said: a thousand logins a second for ten minutes.
const DefaultReplayMax = 600_000

// Reasons of a replay cache's refusals, for the log.
const (
	reasonReplayFull     = "replay-cache-full"
	reasonReplayClosed   = "replay-cache-closed"
	reasonReplayBusy     = "replay-cache-busy"
	reasonReplayReplaced = "replay-cache-replaced"
	reasonReplayIO       = "replay-cache-io"
)

// A replayTag stands for one authenticator. The ciphertext is what is hashed,
// not name and time: it begins with a random confounder, so two honest
// authenticators of the same microsecond differ, and no cleartext that the
// client wrote beside it takes part.
type replayTag [16]byte

func tagOf(authenticator []byte) replayTag {
	sum := sha256.Sum256(authenticator)
	return replayTag(sum[:])
}

// refuseReplay is the error of a cache that cannot say. Nobody is let in on it.
func refuseReplay(reason, format string, a ...any) error {
	err := fmt.Errorf("replay cache: "+format+": %w", append(a, auth.ErrUnavailable)...)
	return auth.Refuse(err, reason)
}

// refuseClosed is the error of a cache that forgot, or may have forgotten,
// authenticators that are acceptable again or still: it stays shut until the
// last of them is too old.
func refuseClosed(floor int64) error {
	return refuseReplay(reasonReplayClosed, "closed until %s", time.Unix(0, floor).UTC().Format(time.RFC3339))
}
