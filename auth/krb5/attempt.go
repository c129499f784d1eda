package krb5

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

// An attempt is one check of a password.
type attempt struct {
	*Passwords
	name, secret string
	proof        auth.Proof
	service      Principal

	proving time.Time // since the KDC asked for a proof; zero: it did not
	spent   bool      // a failure was counted
	info    *etypeInfo
	made    types.EncryptionKey
}

// key is whose failures are counted: to Active Directory several spellings are
// one name.
func (a *attempt) key() string { return auth.Loose(a.name) }

// run returns a ticket, or what the failure means.
func (a *attempt) run(ctx context.Context) (*Ticket, error) {
	inner, end, err := a.c.Client.begin(ctx)
	if err != nil {
		return nil, unavailable(err, "kdc-busy")
	}
	t, err := a.c.Client.ticket(inner, asExchange{
		client:  Principal{Components: []string{a.name}, Realm: a.c.Realm},
		service: a.service, life: checkLife, key: a.passwordKey, proving: a.take,
	})
	end()
	if err == nil {
		a.note()
		return t, nil
	}
	if errors.Is(err, auth.ErrBudget) {
		a.pace.Wait(ctx, a.proving)
		return nil, err
	}
	return nil, a.refuse(ctx, err)
}

// note notes how long the part took that a user has and nobody else has.
func (a *attempt) note() {
	if !a.proving.IsZero() {
		a.pace.Note(time.Since(a.proving))
	}
}

// take asks the budget for one more failure.
func (a *attempt) take() error {
	if !a.c.Budget.Take(a.key(), a.proof, a.c.LockoutThreshold, a.c.LockoutWindow) {
		return auth.ErrBudget
	}
	a.spent = true
	return nil
}

// passwordKey makes the key, once for the proof and the answer.
func (a *attempt) passwordKey(info etypeInfo) (types.EncryptionKey, error) {
	if a.proving.IsZero() {
		a.proving = time.Now()
	}
	if i := a.info; i != nil && i.Etype == info.Etype && i.Salt == info.Salt && string(i.Params) == string(info.Params) {
		return a.made, nil
	}
	key, err := passwordKey(a.secret, a.c.Realm+a.name, info)
	if err == nil {
		a.info, a.made = &info, key
		a.Passwords.made.Store(&etypeInfo{Etype: info.Etype, Params: info.Params})
	}
	return key, err
}

func unavailable(err error, reason string) error {
	return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrUnavailable, err), reason)
}

// passwordReasons are what a KDC's refusals say about a user (RFC 4120 §7.5.9).
// Some KDCs say it before they see a proof.
var passwordReasons = map[int32]string{
	errorcode.KDC_ERR_PREAUTH_FAILED:       "wrong-password",
	errorcode.KRB_AP_ERR_BAD_INTEGRITY:     "wrong-password",
	errorcode.KDC_ERR_KEY_EXPIRED:          "password-expired",
	errorcode.KDC_ERR_CLIENT_REVOKED:       "account-locked", // or disabled
	errorcode.KDC_ERR_NAME_EXP:             "account-expired",
	errorcode.KDC_ERR_CLIENT_NOTYET:        "account-not-yet-valid",
	errorcode.KDC_ERR_ETYPE_NOSUPP:         "weak-enctype",
	errorcode.KDC_ERR_POLICY:               "kdc-policy", // logon hours, and what else a KDC has
	errorcode.KDC_ERR_NULL_KEY:             "no-password",
	errorcode.KDC_ERR_C_OLD_MAST_KVNO:      "no-password",
	errorcode.KDC_ERR_CANNOT_POSTDATE:      "kdc-policy",
	errorcode.KDC_ERROR_CLIENT_NOT_TRUSTED: "kdc-policy",
}

// refuse says what a failed exchange means, and counts it. A refusal without a
// proof takes as long as one with it.
func (a *attempt) refuse(ctx context.Context, err error) error {
	meant := a.refusal(err)
	switch {
	case errors.Is(meant, auth.ErrUnavailable):
		if _, answered := errors.AsType[*kdcError](err); answered && a.spent { // the proof was not judged
			a.c.Budget.Forgive(a.key(), a.c.LockoutWindow)
		}
		return meant
	case !errors.Is(meant, auth.ErrCredentials):
		return meant
	}
	if a.spent {
		a.c.Budget.Refuted(a.key(), a.proof, a.c.LockoutWindow)
	}
	if a.proving.IsZero() {
		a.Decoy(ctx, auth.Password{User: a.name, Secret: auth.Secret(a.secret)})
	} else {
		a.note()
	}
	return meant
}

// refusal is what a failed exchange means.
func (p *Passwords) refusal(err error) error {
	refused, answered := errors.AsType[*kdcError](err)
	reason := ""
	switch {
	case answered && refused.code == errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN:
		return auth.ErrUnknown
	case answered:
		reason = passwordReasons[refused.code]
	case errors.Is(err, errReplyKey): // of a KDC that asks for no proof
		reason = "wrong-password"
	case errors.Is(err, errNoEtype):
		reason = "weak-enctype"
	case errors.Is(err, errPreauth):
		reason = "preauth-not-supported"
	}
	if reason == "" {
		return unavailable(err, outageReason(err))
	}
	return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrCredentials, err), reason)
}

// outageReason is why a failure says nothing about the user.
func outageReason(err error) string {
	if refused, ok := errors.AsType[*kdcError](err); ok {
		switch refused.code {
		case errorcode.KRB_AP_ERR_SKEW:
			return "kdc-clock-skew"
		case errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, errorcode.KDC_ERR_SERVICE_REVOKED, errorcode.KDC_ERR_SERVICE_EXP:
			return "kdc-unknown-service"
		}
		return "kdc-answer"
	}
	if errors.Is(err, errKDCAnswer) || errors.Is(err, errRounds) {
		return "kdc-answer"
	}
	return "kdc-unavailable"
}
