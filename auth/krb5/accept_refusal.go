package krb5

import (
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"

	"kpopd/auth"
)

// A cause is why an AP-REQ is refused: a stable reason for the log, and the
// code and text of a KRB-ERROR for the client (RFC 4120 §7.5.9). The texts say
// nothing that the client does not know; fetchmail shows them to its user.
type cause struct {
	reason string
	code   int32
	text   string
	class  error // one of the errors of package auth
}

var (
	causeMalformed     = cause{"malformed", errorcode.KRB_AP_ERR_MODIFIED, "Malformed request", auth.ErrCredentials}
	causeTooLong       = cause{"too-long", errorcode.KRB_ERR_FIELD_TOOLONG, "Request is too long", auth.ErrCredentials}
	causeBadVersion    = cause{"bad-version", errorcode.KRB_AP_ERR_BADVERSION, "Protocol version mismatch", auth.ErrCredentials}
	causeWrongMessage  = cause{"wrong-message", errorcode.KRB_AP_ERR_MSG_TYPE, "Not an AP-REQ", auth.ErrCredentials}
	causeWrongService  = cause{"wrong-service", errorcode.KRB_AP_ERR_NOT_US, "The ticket is for another service", auth.ErrCredentials}
	causeUserToUser    = cause{"user-to-user", errorcode.KRB_AP_ERR_NO_TGT, "User-to-user tickets are not supported", auth.ErrCredentials}
	causeWeakEtype     = cause{"weak-enctype", errorcode.KDC_ERR_ETYPE_NOSUPP, "Encryption type is not permitted", auth.ErrCredentials}
	causeNoKey         = cause{"no-key", errorcode.KRB_AP_ERR_NOKEY, "Service key not available", auth.ErrCredentials}
	causeWrongKvno     = cause{"wrong-kvno", errorcode.KRB_AP_ERR_BADKEYVER, "Specified version of key is not available", auth.ErrCredentials}
	causeBadIntegrity  = cause{"bad-integrity", errorcode.KRB_AP_ERR_BAD_INTEGRITY, "Integrity check failed", auth.ErrCredentials}
	causeExpired       = cause{"ticket-expired", errorcode.KRB_AP_ERR_TKT_EXPIRED, "Ticket expired", auth.ErrCredentials}
	causeNotYetValid   = cause{"ticket-not-yet-valid", errorcode.KRB_AP_ERR_TKT_NYV, "Ticket not yet valid", auth.ErrCredentials}
	causeInvalidTicket = cause{"ticket-invalid", errorcode.KRB_AP_ERR_TKT_NYV, "Ticket is flagged invalid", auth.ErrCredentials}
	causeAddress       = cause{"wrong-address", errorcode.KRB_AP_ERR_BADADDR, "Incorrect net address", auth.ErrCredentials}
	causeClient        = cause{"client-mismatch", errorcode.KRB_AP_ERR_BADMATCH, "Ticket and authenticator do not match", auth.ErrCredentials}
	causeRealm         = cause{"realm-mismatch", errorcode.KRB_AP_ERR_BADMATCH, "Ticket and authenticator do not match", auth.ErrCredentials}
	causeSkew          = cause{"clock-skew", errorcode.KRB_AP_ERR_SKEW, "Clock skew too great", auth.ErrCredentials}
	causeForGSS        = cause{"made-for-gssapi", errorcode.KRB_AP_ERR_INAPP_CKSUM, "Request was made for GSSAPI", auth.ErrCredentials}
	causeReplay        = cause{"replayed-authenticator", errorcode.KRB_AP_ERR_REPEAT, "Request is a replay", auth.ErrCredentials}

	// The principal has left too many exchanges unfinished.
	causeThrottled = cause{"throttled", errorcode.KRB_ERR_GENERIC, "Too many attempts", auth.ErrCredentials}

	// The proof is right, but it is not good for anything here.
	causeAnonymous    = cause{"anonymous", errorcode.KDC_ERR_POLICY, "Anonymous tickets are not accepted", auth.ErrDenied}
	causePrincipal    = cause{"unusable-principal", errorcode.KDC_ERR_POLICY, "Principal is not acceptable", auth.ErrDenied}
	causeForeignRealm = cause{"realm-not-allowed", errorcode.KDC_ERR_POLICY, "Realm is not accepted", auth.ErrDenied}
	causeTransited    = cause{"transited-not-checked", errorcode.KRB_AP_PATH_NOT_ACCEPTED, "Transited path was not checked", auth.ErrDenied}
	causeAuthData     = cause{"critical-authdata", errorcode.KDC_ERR_POLICY, "Authorization data is not understood", auth.ErrDenied}
	causePACMissing   = cause{"pac-missing", errorcode.KDC_ERR_POLICY, "Ticket has no PAC", auth.ErrDenied}
	causePACMalformed = cause{"pac-malformed", errorcode.KDC_ERR_POLICY, "PAC is not acceptable", auth.ErrDenied}
	causePACSignature = cause{"pac-signature", errorcode.KDC_ERR_POLICY, "PAC is not acceptable", auth.ErrDenied}
	causePACMismatch  = cause{"pac-mismatch", errorcode.KDC_ERR_POLICY, "PAC is not acceptable", auth.ErrDenied}
	causePACForeign   = cause{"pac-foreign", errorcode.KDC_ERR_POLICY, "PAC is not acceptable", auth.ErrDenied}

	// Nobody could say.
	causeNoKeytab = cause{"no-keytab", errorcode.KRB_AP_ERR_NOKEY, "Service key not available", auth.ErrUnavailable}
	causeNoReplay = cause{"replay-cache-unavailable", errorcode.KRB_ERR_GENERIC, "Temporarily unable to authenticate", auth.ErrUnavailable}
	causeNoMemory = cause{"no-memory", errorcode.KRB_ERR_GENERIC, "Temporarily unable to authenticate", auth.ErrUnavailable}
	causeInternal = cause{"kerberos-internal", errorcode.KRB_ERR_GENERIC, "Temporarily unable to authenticate", auth.ErrUnavailable}
)

// refuse returns the refusal, with a detail for the operator made of format
// and args, which may be empty.
func (c cause) refuse(format string, args ...any) error {
	f := &failure{cause: c}
	if format != "" {
		f.detail = fmt.Errorf(format, args...)
	}
	return &auth.Refusal{Reason: c.reason, Err: f}
}

// A failure is a cause with its detail.
type failure struct {
	cause
	detail error
}

func (f *failure) Error() string {
	if f.detail == nil {
		return f.text
	}
	return f.text + ": " + f.detail.Error()
}

func (f *failure) Unwrap() []error {
	if f.detail == nil {
		return []error{f.class}
	}
	return []error{f.class, f.detail}
}

// errorCode returns the KRB-ERROR code and text for an error of
// [Acceptor.Accept]; for any other error they say no more than that it failed.
func errorCode(err error) (int32, string) {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code, f.text
	}
	return errorcode.KRB_ERR_GENERIC, "Authentication failed"
}
