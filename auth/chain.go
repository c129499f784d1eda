package auth

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"
)

// A Chain asks its Authenticators in order until one knows the user.
//
// Only an error that wraps [ErrUnknown], and none of the other errors, moves
// on to the next; a wrong password ends the chain, and so does an outage,
// which is never a bypass. When nobody knows the user, the error is
// [ErrCredentials] with the reason "unknown-user", of a certificate
// "certificate-without-user". Whoever knows the user or not, a wrong password
// costs the work of a wrong password at every authenticator that is a
// [Decoyer]: neither the reply nor the time tells a client who exists, or where.
//
// Credentials that can never be right are refused in the same way before any
// authenticator is asked: an empty or malformed user, and one that [IsProhibited];
// an empty password, which to many directories is an anonymous bind that succeeds
// (RFC 4513 §5.1.2), a NUL in either, names above 255 octets and passwords above
// 1024; a token that is no b64token (RFC 6750 §2.1) or longer than [MaxToken].
type Chain []Authenticator

var _ Authenticator = Chain(nil)

// A Decoyer is an [Authenticator] that can do the work of checking a wrong
// credential without anybody to check.
type Decoyer interface {
	// Decoy takes as long as Authenticate does for a wrong c, or until ctx
	// ends.
	Decoy(ctx context.Context, c Credential)
}

// Authenticate implements [Authenticator]. The identity's Mechanism is "USER",
// "APOP" or "CRAM-MD5" unless the authenticator set one.
func (c Chain) Authenticate(ctx context.Context, p Peer, cred Credential) (Identity, error) {
	if reason := unfit(cred); reason != "" {
		c.Decoy(ctx, placeholder(cred))
		return Identity{}, Refuse(ErrCredentials, reason)
	}
	reason := ""
	for i, a := range c {
		id, err := a.Authenticate(ctx, p, cred)
		switch {
		case err == nil:
			return vouched(id, cred)
		case errors.Is(err, ErrCredentials):
			c.pretend(ctx, p, cred, i)
			return Identity{}, err
		case !isUnknown(err):
			return Identity{}, err
		}
		reason = cmp.Or(reason, tokenReason(cred, err))
	}
	c.pretend(ctx, p, cred, len(c))
	return Identity{}, Refuse(ErrCredentials, cmp.Or(reason, unknownReason(cred)))
}

// pretend does the work that a wrong cred would have been at all but the one
// that refused it. Those behind it are asked for somebody who does not exist:
// the credential is not theirs to see.
func (c Chain) pretend(ctx context.Context, p Peer, cred Credential, refused int) {
	for i, a := range c {
		d, ok := a.(Decoyer)
		if !ok || i == refused {
			continue
		}
		if i > refused {
			if _, err := a.Authenticate(ctx, p, stranger(cred)); !isUnknown(err) {
				continue // it has done the work
			}
		}
		d.Decoy(ctx, cred)
	}
}

// Decoy implements [Decoyer] with all authenticators that are.
func (c Chain) Decoy(ctx context.Context, cred Credential) {
	for _, a := range c {
		if d, ok := a.(Decoyer); ok {
			d.Decoy(ctx, cred)
		}
	}
}

// isUnknown reports whether err says no more than that the user is not known.
// An error that joins it to an outage, as of two servers, is an outage.
func isUnknown(err error) bool {
	return errors.Is(err, ErrUnknown) && !errors.Is(err, ErrCredentials) &&
		!errors.Is(err, ErrDenied) && !errors.Is(err, ErrUnavailable)
}

// unknownReason is why nobody knows the user of cred.
func unknownReason(cred Credential) string {
	if _, ok := cred.(Certificate); ok {
		return "certificate-without-user"
	}
	return "unknown-user"
}

// vouched completes id. An authenticator that vouches for nobody is broken,
// and nobody is let in.
func vouched(id Identity, cred Credential) (Identity, error) {
	if id.User == "" {
		return Identity{}, fmt.Errorf("auth: %q vouches for an identity without a name", id.Source)
	}
	if id.Mechanism == "" {
		id.Mechanism = mechanismOf(cred)
	}
	return id, nil
}

func mechanismOf(cred Credential) string {
	switch cred.(type) {
	case APOP:
		return "APOP"
	case CRAMMD5:
		return "CRAM-MD5"
	case Bearer:
		return sasl.OAuthBearer
	}
	return "USER"
}

// tokenReason says for the log why an issuer did not take a token, or "".
func tokenReason(cred Credential, err error) string {
	if _, ok := cred.(Bearer); !ok {
		return ""
	}
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Reason
	}
	return ""
}

// unfit returns the reason why cred can never be right, or "".
func unfit(cred Credential) string {
	switch c := cred.(type) {
	case Password:
		if reason := unfitUser(c.User); reason != "" {
			return reason
		}
		return unfitSecret(string(c.Secret))
	case APOP:
		return unfitDigest(c.User, c.Timestamp, c.Digest)
	case CRAMMD5:
		return unfitDigest(c.User, c.Challenge, c.Digest)
	case Bearer:
		if c.User != "" && !isName(c.User, maxName) {
			return "malformed-user"
		}
		return unfitToken(string(c.Token))
	case Certificate:
		if len(c.Chain) == 0 {
			return "no-certificate"
		}
		return ""
	}
	return "malformed"
}

func unfitDigest(user, text, digest string) string {
	if reason := unfitUser(user); reason != "" {
		return reason
	}
	if !isDigest(digest) || text == "" {
		return "malformed-digest"
	}
	return ""
}

func unfitUser(user string) string {
	switch {
	case user == "":
		return "empty-user"
	case !isName(user, maxName) || IsProhibited(user):
		return "malformed-user"
	}
	return ""
}

func unfitSecret(secret string) string {
	switch {
	case secret == "":
		return "empty-password"
	case len(secret) > maxSecret || strings.IndexByte(secret, 0) >= 0:
		return "malformed-password"
	}
	return ""
}

// MaxToken is the longest bearer token, in octets: four times what issuers make
// of a user in many groups.
const MaxToken = 16 << 10

func unfitToken(token string) string {
	switch {
	case token == "":
		return "empty-token"
	case len(token) > MaxToken || !isToken(token):
		return "malformed-token"
	}
	return ""
}

// isToken reports whether s is a b64token (RFC 6750 §2.1).
func isToken(s string) bool {
	const octets = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
	s = strings.TrimRight(s, "=")
	return s != "" && strings.Trim(s, octets) == ""
}

// isDigest reports whether s is 32 lower-case hexadecimal digits (RFC 1939 §7,
// RFC 2195 §2).
func isDigest(s string) bool {
	if len(s) != 32 {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}

// stranger is a credential like cred of somebody who does not exist.
func stranger(cred Credential) Credential {
	switch c := placeholder(cred).(type) {
	case APOP:
		c.User = rand.Text()
		return c
	case CRAMMD5:
		c.User = rand.Text()
		return c
	case Password:
		c.User = rand.Text()
		return c
	case Bearer:
		c.Token = Secret(rand.Text())
		return c
	}
	return cred
}

// placeholder stands in for an unfit credential where work is feigned, so that
// the work does not grow with what the client sent.
func placeholder(cred Credential) Credential {
	switch cred := cred.(type) {
	case Certificate:
		return cred
	case APOP:
		return APOP{User: "nobody", Timestamp: "<0@localhost>", Digest: strings.Repeat("0", 32)}
	case CRAMMD5:
		return CRAMMD5{User: "nobody", Challenge: "<0@localhost>", Digest: strings.Repeat("0", 32)}
	case Bearer:
		return Bearer{Token: "placeholder"}
	}
	return Password{User: "nobody", Secret: "placeholder"}
}
