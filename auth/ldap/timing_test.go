package ldap_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"kpopd/auth"
	"kpopd/testenv"
)

// TestTiming measures that the time of a refusal does not tell who is known:
// to a slow directory, where it would, and to a real one, for the record.
func TestTiming(t *testing.T) {
	const slow = 10 * time.Millisecond
	s := &stub{bind: func(string, string) (int, string, *ber.Packet) {
		<-time.After(slow) // as a hash that is meant to be slow
		return 49, "", nil
	}}
	conf := stubConfig(s.start(t))
	conf.RememberWrong, conf.Remember = time.Hour, time.Hour
	a := auth.Chain{open(t, conf)}
	attempt := 1
	for ; measureRefusals(t, a) > 1.5; attempt++ { // a machine that is busy with other things spreads all times
		if attempt == 5 {
			t.Fatal("the medians differ too much")
		}
	}
	w := testenv.Start(t)
	measureRefusals(t, auth.Chain{open(t, config(t, w, testenv.PeopleDN))})
}

// measureRefusals returns the quotient of the largest and the smallest of the
// medians of three kinds of refusal, which are taken in turn.
func measureRefusals(t *testing.T, a auth.Authenticator) float64 {
	t.Helper()
	kinds := []string{"known user", "unknown user", "same wrong password"}
	took := make([][]time.Duration, len(kinds))
	for i := range 60 {
		for k, c := range []struct{ user, password string }{
			{"alice", fmt.Sprint(time.Now())}, {fmt.Sprint("mallory", i), fmt.Sprint("wrong ", i)}, {"alice", "wrong"},
		} {
			begun := time.Now()
			if _, err := try(t, a, c.user, c.password); !errors.Is(err, auth.ErrCredentials) {
				t.Fatal(err)
			}
			took[k] = append(took[k], time.Since(begun))
		}
	}
	var medians []time.Duration
	for k, all := range took {
		slices.Sort(all)
		medians = append(medians, all[len(all)/2])
		t.Logf("%-20s median %v, quartiles %v to %v", kinds[k], all[len(all)/2], all[len(all)/4], all[len(all)*3/4])
	}
	return float64(slices.Max(medians)) / float64(slices.Min(medians))
}
