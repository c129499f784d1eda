package ldap

import (
	"errors"
	"testing"

	goldap "github.com/go-ldap/ldap/v3"
)

// TestDown: what one request meets says nothing of the next.
func TestDown(t *testing.T) {
	for code, want := range map[uint16]bool{
		goldap.LDAPResultBusy: true, goldap.LDAPResultUnavailable: true, goldap.ErrorNetwork: true,
		goldap.LDAPResultOther: false, goldap.LDAPResultOperationsError: false,
		goldap.LDAPResultTimeLimitExceeded: false, goldap.LDAPResultAdminLimitExceeded: false,
	} {
		if err := goldap.NewError(code, errors.New("x")); !outage(err) || down(err) != want {
			t.Errorf("%v: %v", err, down(err))
		}
	}
	if !outage(errTooMuch) || down(errTooMuch) || !outage(errBusy) || down(errBusy) {
		t.Error("a request that is too much for its server takes it down")
	}
}
