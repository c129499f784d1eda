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
	measureRefusals(t, auth.Chain{open(t, conf)}, 1.5)

	w := testenv.Start(t)
	measureRefusals(t, auth.Chain{open(t, config(t, w, testenv.PeopleDN))}, 0)
}

// measureRefusals compares the medians of three kinds of refusal, which are
// taken in turn. They may differ by the factor most; 0: by any.
func measureRefusals(t *testing.T, a auth.Authenticator, most float64) {
	t.Helper()
	kinds := []string{"known user", "unknown user", "same wrong password"}
	took := make([][]time.Duration, len(kinds))
	for i := range 60 {
		for k, c := range []struct{ user, password string }{
			{"alice", fmt.Sprint("wrong ", i)}, {fmt.Sprint("mallory", i), fmt.Sprint("wrong ", i)}, {"alice", "wrong 0"},
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
		median := all[len(all)/2]
		medians = append(medians, median)
		t.Logf("%-20s median %v, quartiles %v to %v", kinds[k], median, all[len(all)/4], all[len(all)*3/4])
	}
	ratio := float64(slices.Max(medians)) / float64(slices.Min(medians))
	if most > 0 && ratio > most {
		t.Errorf("the medians differ by the factor %.2f", ratio)
	}
}
