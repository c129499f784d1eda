package ldap

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	goldap "github.com/go-ldap/ldap/v3"
)

// TestTrickle: Active Directory's count goes on as long as no whole window is
// free of failures, so a guesser who is slow gets no more guesses than another.
func TestTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const threshold, window = 5, 15 * time.Minute
		var b Budget
		sent := 0
		for range 40 {
			if b.take("cn=alice", proof{user: "alice"}, threshold, window) {
				sent++
				time.Sleep(time.Second) // the directory is slow
				b.refuted("cn=alice", proof{user: "alice"}, window)
			}
			if sent == threshold {
				t.Fatal("the directory locks the account")
			}
			if sent < threshold-1 {
				time.Sleep(window - time.Second)
			}
		}
		time.Sleep(window - time.Nanosecond)
		if b.take("cn=alice", proof{user: "alice"}, threshold, window) {
			t.Error("the window began before the directory counted")
		}
		time.Sleep(time.Nanosecond)
		if !b.take("cn=alice", proof{user: "alice"}, threshold, window) {
			t.Error("a whole window without a failure, and no new count")
		}
	})
}

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
