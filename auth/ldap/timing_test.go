package ldap_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"kpopd/auth"
	"kpopd/auth/ldap"
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

// TestSecretTiming measures the same of proofs by secrets: each is one search, and
// for SCRAM the derivation of keys.
func TestSecretTiming(t *testing.T) {
	s := &stub{ask: func(search *ber.Packet, send func(*ber.Packet)) {
		user := search.Children[6].Children[1].Data.String()
		attrs := map[string]map[string]string{
			"plain": {"uid": "plain", "kpopdSecret": "{PLAIN}pencil"}, "keys": {"uid": "keys", "kpopdSecret": pencil5803}, "none": {"uid": "none"},
		}[user]
		if attrs != nil {
			send(entry("cn="+user, attrs))
		}
	}}
	conf := stubConfig(s.start(t))
	conf.SecretAttribute = "kpopdSecret"
	spread := func(conf ldap.Config, prove func(*ldap.Directory, string)) float64 {
		d := open(t, conf)
		return measure(t, []string{"plain", "keys", "none", "mallory"}, 100, func(user string, _ int) { prove(d, user) })
	}
	digest := func(d *ldap.Directory, user string) {
		if _, err := (auth.Chain{d}).Authenticate(t.Context(), auth.Peer{}, cram(user, "wrong")); !errors.Is(err, auth.ErrCredentials) {
			t.Fatal(err)
		}
	}
	keys := func(d *ldap.Directory, user string) { _, _ = d.SCRAM(t.Context(), auth.Peer{}, user, "SHA-256") } // the time is all
	for attempt := 1; spread(conf, keys) > 1.5; attempt++ {
		if attempt == 5 {
			t.Fatal("the medians of SCRAM differ too much")
		}
	}
	_, real := withSecrets(t, testenv.Start(t), map[string][]string{"plain": {"{PLAIN}pencil"}, "keys": {pencil5803}, "none": nil})
	t.Logf("a real directory, SCRAM: %.2f", spread(real, keys))
	t.Logf("a real directory, CRAM-MD5: %.2f", spread(real, digest))
}

// measureRefusals returns the quotient of the largest and the smallest of the
// medians of three kinds of refusal.
func measureRefusals(t *testing.T, a auth.Authenticator) float64 {
	t.Helper()
	return measure(t, []string{"known user", "unknown user", "same wrong password"}, 60, func(kind string, i int) {
		user, password := "alice", "wrong"
		switch kind {
		case "known user":
			password = fmt.Sprint(time.Now())
		case "unknown user":
			user, password = fmt.Sprint("mallory", i), fmt.Sprint("wrong ", i)
		}
		if _, err := try(t, a, user, password); !errors.Is(err, auth.ErrCredentials) {
			t.Fatal(err)
		}
	})
}

// measure takes kinds of work in turn, prints their medians, and returns the
// quotient of the largest and the smallest.
func measure(t *testing.T, kinds []string, rounds int, work func(kind string, round int)) float64 {
	t.Helper()
	took := make([][]time.Duration, len(kinds))
	for i := range rounds {
		for k, kind := range kinds {
			begun := time.Now()
			work(kind, i)
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
