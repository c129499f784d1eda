// Package auth says who somebody is.
//
// Two ways of proving it lead to one result, an [Identity]. A credential that
// is shown once (a password, an APOP digest) goes down a [Chain] of
// Authenticators; a conversation (GSSAPI, SCRAM) is a [Mechanism] and its
// [Exchange]. What an Identity may open is decided by [Accounts].
//
// The package knows nothing of maildrops but their names, nor of POP3.
package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"
)

// The errors that callers of this package test for with [errors.Is]. Backends
// return them wrapped, usually in a [*Refusal] that says why.
var (
	// ErrUnknown means that this source does not know the user; the chain
	// asks the next one.
	ErrUnknown = errors.New("auth: user is not known here")
	// ErrCredentials means that the proof was wrong: password, digest, ticket
	// or token. It ends a chain. RFC 3206 §5: [AUTH].
	ErrCredentials = errors.New("auth: wrong credentials")
	// ErrDenied means that the proof was right but this identity may not have
	// what it asked for: disabled, no account rule, a foreign authzid.
	ErrDenied = errors.New("auth: not permitted")
	// ErrUnavailable means that nobody could say: a directory or a replay
	// cache is out of order. It is never a bypass and never a wrong password.
	// RFC 3206 §4: [SYS/TEMP].
	ErrUnavailable = errors.New("auth: temporarily unable to authenticate")
)

// A Refusal is an error with a short, stable reason for the log, such as
// "ticket-expired". Neither field may hold a secret. Clients never see it.
type Refusal struct {
	Reason string // lower case, words joined by '-'
	Err    error  // wraps one of the package's errors
}

func (r *Refusal) Error() string { return r.Reason + ": " + r.Err.Error() }
func (r *Refusal) Unwrap() error { return r.Err }

// Refuse returns a [*Refusal] for err, which must wrap one of the package's
// errors.
func Refuse(err error, reason string) error { return &Refusal{Reason: reason, Err: err} }

// Reason returns the reason of the first [*Refusal] in err's tree, or a
// general word for one of the package's errors, or "internal".
func Reason(err error) string {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Reason
	}
	switch {
	case errors.Is(err, ErrUnknown):
		return "unknown-user"
	case errors.Is(err, ErrCredentials):
		return "wrong-credentials"
	case errors.Is(err, ErrDenied):
		return "denied"
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	}
	return "internal"
}

// A Secret is a password or another text that proves something. It prints and
// logs as "[redacted]"; convert it to a string only to check it.
type Secret string

const redacted = "[redacted]"

// String, GoString, LogValue and MarshalText keep the secret out of logs.
func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// An Identity is somebody who has been proven, and by what.
type Identity struct {
	// User is the proven name: the login name of a password, or for a ticket
	// the principal's only component when its realm is the keytab's own, else
	// the whole principal.
	User string
	// Authzid is the name that the client asked to act as: a SASL
	// authorization identity, or the USER of a KPOP session. Empty: none.
	// It is a wish; only [Accounts] grants it.
	Authzid string
	// Recipient is whose mail alone is asked for, the local part of an address,
	// by a login of SDPS. Empty: all. It is a wish too.
	Recipient string
	// Domain is that of the address, of whom mail is delivered to; nobody has
	// proven to be him. Empty: of the user's name, if it has one.
	Domain string
	// Mechanism is how the proof was made: "USER", "PLAIN", "APOP", "GSSAPI",
	// "KPOP" …. "LMTP": none was, mail is delivered.
	Mechanism string
	// Source names the authenticator that vouches, e.g. "file services" or
	// "kerberos".
	Source string
	// Expires is when the proof ends, as a ticket does. Zero: never.
	Expires time.Time
	// Attrs are further facts about the identity: "principal" (printable, with
	// realm) and "realm" for a ticket, with "sid", "pac_upn" and "pac_account"
	// where Active Directory wrote them into it; "subject", "issuer" (RFC 4514), "serial"
	// (lower-case hexadecimal) and "fingerprint" (of SHA-256, likewise) for a
	// client's certificate; and what a directory adds.
	Attrs map[string]string
	// Groups are those that a directory says the identity is in.
	Groups []string
}

// IsProofAttr reports whether an attribute of this name says how somebody was
// proven, so that no directory and no issuer may give it.
func IsProofAttr(name string) bool {
	switch strings.ToLower(name) {
	case "principal", "realm", "subject", "issuer", "serial", "fingerprint", "sid", "pac_upn", "pac_account":
		return true
	}
	return false
}

// A Peer is the connection on which somebody proves himself.
type Peer struct {
	Addr, Local netip.AddrPort
	// Unix: the client is on a Unix socket of this machine, and has no address.
	Unix bool
	// TLS is the state of the connection; nil: in the clear.
	TLS *tls.ConnectionState
	// Certificate is the certificate that this server showed on TLS; nil
	// without TLS. Channel bindings are made from it (RFC 5929 §4).
	Certificate *x509.Certificate
	// ClientError is why the certificate that the client showed on TLS is not
	// good; nil: it is good, or there is none. It is for what is advertised:
	// whoever logs in by the certificate checks it himself.
	ClientError error
	// Proven is who has been proven already, before the protocol began: the
	// client of a KPOP session, by its ticket. nil: nobody.
	Proven *Identity
	// Protected: a password may cross this connection (RFC 8314 §4.1).
	Protected bool
	// Separators are what divides user and host in a login name of SDPS.
	// Empty: nothing does.
	Separators string
	// Tickets: a proof that reveals no password, such as a Kerberos ticket,
	// may cross this connection. Protected implies it.
	Tickets bool
}

// A Credential is what a client shows to prove a name at one go: [Password],
// [APOP], [CRAMMD5], [Bearer] or [Certificate].
type Credential interface{ credential() }

// A Password is a name and its password, from USER and PASS (RFC 1939 §7) or
// SASL PLAIN (RFC 4616).
type Password struct {
	User   string
	Secret Secret
}

// An APOP is a name and the MD5 digest of the greeting's timestamp, angle
// brackets included, followed by a shared secret (RFC 1939 §7).
type APOP struct {
	User      string
	Timestamp string
	Digest    string // 32 lower-case hexadecimal digits
}

// A CRAMMD5 is a name and the HMAC-MD5 of a challenge under a shared secret
// (RFC 2195 §2).
type CRAMMD5 struct {
	User      string
	Challenge string
	Digest    string // 32 lower-case hexadecimal digits
}

// A Bearer is a bearer token (RFC 6750), which says itself whom it proves.
type Bearer struct {
	// User is the name that the client gave beside the token. Empty: none. It
	// is a wish and proves nothing; see [Identity.Authzid].
	User  string
	Token Secret
}

// A Certificate is what a client showed when TLS began, its own certificate
// first, and of which it has the key. Nothing else of it has been checked.
type Certificate struct {
	Chain []*x509.Certificate
}

func (Password) credential()    {}
func (APOP) credential()        {}
func (CRAMMD5) credential()     {}
func (Bearer) credential()      {}
func (Certificate) credential() {}

// An Authenticator checks credentials. Authenticate returns the identity, or
// an error that wraps ErrUnknown (the next in the chain is asked),
// ErrCredentials, ErrDenied or ErrUnavailable. A kind of credential that it
// does not handle is ErrUnknown. It is safe for concurrent use and returns
// soon after ctx ends.
type Authenticator interface {
	Authenticate(ctx context.Context, p Peer, c Credential) (Identity, error)
}
