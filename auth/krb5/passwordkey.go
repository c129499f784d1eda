package krb5

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/types"
)

// The rounds of PBKDF2 that a KDC may ask for: fewer help who guesses passwords
// from what was sent, more keep this server busy (RFC 3962 §4).
const (
	minRounds = 4096
	maxRounds = 1 << 20
	maxSalt   = 1024
)

var errRounds = errors.New("krb5: the KDC asks for a key made in too few or too many rounds")

// passwordKey makes a key of a password (RFC 3961 §5.1). salt is for a KDC that
// names none: the realm and the name (RFC 4120 §4).
func passwordKey(secret, salt string, info etypeInfo) (types.EncryptionKey, error) {
	kind, err := crypto.GetEtype(info.Etype)
	if err != nil || keyLength(info.Etype) == 0 {
		return types.EncryptionKey{}, errNoEtype
	}
	params := kind.GetDefaultStringToKeyParams()
	if len(info.Params) > 0 {
		params = hex.EncodeToString(info.Params)
		if len(info.Params) != 4 || !withinRounds(info.Params) {
			return types.EncryptionKey{}, errRounds
		}
	}
	if len(info.Salt) > maxSalt {
		return types.EncryptionKey{}, fmt.Errorf("%w: a salt of %d octets", errKDCAnswer, len(info.Salt))
	}
	key, err := kind.StringToKey(secret, cmp.Or(info.Salt, salt), params)
	if err != nil {
		return types.EncryptionKey{}, errNoEtype
	}
	return types.EncryptionKey{KeyType: info.Etype, KeyValue: key}, nil
}

func withinRounds(params []byte) bool {
	n := binary.BigEndian.Uint32(params)
	return n >= minRounds && n <= maxRounds
}
