package ldap

import (
	"errors"
	"fmt"
	"strings"

	goldap "github.com/go-ldap/ldap/v3"

	"kpopd/auth"
)

// directoryReasons are the codes by which Active Directory says in its
// diagnostics why a bind failed: Windows' own error numbers, in hexadecimal.
var directoryReasons = map[string]string{
	"525": "unknown-user",
	"52e": "wrong-password",
	"530": "logon-hours",
	"531": "workstation-not-allowed",
	"532": "password-expired",
	"533": "account-disabled",
	"701": "account-expired",
	"773": "password-must-change",
	"775": "account-locked",
}

// policyReasons are the errors of the password policy control, by number.
var policyReasons = map[int8]string{
	0: "password-expired",
	1: "account-locked",
	2: "password-must-change",
}

// directoryCode returns the code in a diagnostic of Active Directory's such as
//
//	80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 52e, v1db1
//
// or "" if there is none.
func directoryCode(diagnostic string) string {
	_, rest, ok := strings.Cut(diagnostic, "AcceptSecurityContext error, data ")
	code, _, end := strings.Cut(rest, ",")
	if !ok || !end || code == "" || len(code) > 8 || strings.Trim(code, "0123456789abcdefABCDEF") != "" {
		return ""
	}
	return strings.ToLower(code)
}

// outage reports whether err, of a search or a bind, says nothing about a
// user: there was no answer, or one that another server may better.
func outage(err error) bool {
	return err != nil && (!isAnswer(err) || goldap.IsErrorAnyOf(err,
		goldap.LDAPResultOperationsError, goldap.LDAPResultProtocolError, goldap.LDAPResultTimeLimitExceeded,
		goldap.LDAPResultAdminLimitExceeded, goldap.LDAPResultBusy, goldap.LDAPResultUnavailable, goldap.LDAPResultOther))
}

// down reports whether an outage is the server's and not only this request's,
// which whoever thinks of such a request could repeat.
func down(err error) bool {
	if isAnswer(err) {
		return goldap.IsErrorAnyOf(err, goldap.LDAPResultBusy, goldap.LDAPResultUnavailable)
	}
	return !errors.Is(err, errBusy) && !errors.Is(err, errTooMuch)
}

// refusal is what the failed bind of a user means. The client is told no more
// than that its proof was wrong, whatever the reason (RFC 4513 §6.3.1).
func refusal(err error, policy *goldap.ControlBeheraPasswordPolicy) error {
	e, ok := errors.AsType[*goldap.Error](err)
	if !ok {
		return unavailable(err, "directory-unavailable")
	}
	refuse := func(reason string) error {
		return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrCredentials, err), reason)
	}
	if policy != nil {
		if reason, ok := policyReasons[policy.Error]; ok {
			return refuse(reason)
		}
	}
	switch e.ResultCode {
	case goldap.LDAPResultInvalidCredentials:
		if reason, ok := directoryReasons[directoryCode(e.Error())]; ok {
			return refuse(reason)
		}
		return refuse("wrong-password")
	case goldap.LDAPResultConstraintViolation: // 389 Directory Server's lockout
		return refuse("account-locked")
	case goldap.LDAPResultUnwillingToPerform: // and its inactive accounts
		return refuse("account-disabled")
	case goldap.LDAPResultInappropriateAuthentication:
		return refuse("no-password")
	case goldap.LDAPResultNoSuchObject, goldap.LDAPResultInvalidDNSyntax, goldap.LDAPResultInsufficientAccessRights:
		return refuse("bind-refused")
	case goldap.LDAPResultConfidentialityRequired, goldap.LDAPResultStrongAuthRequired:
		return unavailable(err, "directory-wants-tls")
	}
	return unavailable(err, "directory-answer")
}

func unavailable(err error, reason string) error {
	return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrUnavailable, err), reason)
}
