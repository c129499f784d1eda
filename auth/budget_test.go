package auth

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestTrickle: Active Directory's count goes on as long as no whole window is
// free of failures, so a guesser who is slow gets no more guesses than another.
func TestTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const threshold, window = 5, 15 * time.Minute
		var b Budget
		sent := 0
		for range 40 {
			if b.Take("cn=alice", Proof{user: "alice"}, threshold, window) {
				sent++
				time.Sleep(time.Second) // the directory is slow
				b.Refuted("cn=alice", Proof{user: "alice"}, window)
			}
			if sent == threshold {
				t.Fatal("the directory locks the account")
			}
			if sent < threshold-1 {
				time.Sleep(window - time.Second)
			}
		}
		time.Sleep(window - time.Nanosecond)
		if b.Take("cn=alice", Proof{user: "alice"}, threshold, window) {
			t.Error("the window began before the directory counted")
		}
		time.Sleep(time.Nanosecond)
		if !b.Take("cn=alice", Proof{user: "alice"}, threshold, window) {
			t.Error("a whole window without a failure, and no new count")
		}
	})
}
