package auth_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/auth"
)

func TestRecall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = time.Hour
		r := auth.NewRecall(life)
		alice, bob := sha256.Sum256([]byte("alice:hash")), sha256.Sum256([]byte("bob:hash"))
		right := r.Of(alice, "secret")
		if r.Has(right) {
			t.Error("recalls what it was not told")
		}
		r.Keep(right)
		if !r.Has(r.Of(alice, "secret")) {
			t.Error("does not recall")
		}
		for what, p := range map[string]auth.Recalled{
			"another password": r.Of(alice, "Secret"), "another hash": r.Of(bob, "secret"),
			"no password": r.Of(alice, ""), "nothing": {}, "another key": auth.NewRecall(life).Of(alice, "secret"),
		} {
			if r.Has(p) {
				t.Errorf("recalls %s", what)
			}
		}
		time.Sleep(life - time.Second)
		if !r.Has(right) {
			t.Error("forgets early")
		}
		time.Sleep(time.Second) // it was used meanwhile, which does not prolong it
		if r.Has(right) {
			t.Error("does not forget")
		}
	})
}

func TestRecallNothing(t *testing.T) {
	r := auth.NewRecall(0)
	p := r.Of([sha256.Size]byte{}, "secret")
	if r.Keep(p); r.Has(p) {
		t.Error("recalls, without a life")
	}
}

// However many passwords there are, the table is bounded, and forgets the one
// used longest ago.
func TestRecallBounded(t *testing.T) {
	r := auth.NewRecall(time.Hour)
	var stored [sha256.Size]byte
	first, second := r.Of(stored, "0"), r.Of(stored, "1")
	for i := range auth.MaxRecalled {
		r.Keep(r.Of(stored, auth.Secret(fmt.Sprint(i))))
	}
	r.Has(first) // is a use
	r.Keep(r.Of(stored, "one more"))
	if !r.Has(first) || r.Has(second) {
		t.Error("forgets another than the one used longest ago")
	}
}
