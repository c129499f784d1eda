package auth_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"kpopd/auth"
)

// What is traced is what decides: for random rules and identities the last step
// about the one whose maildrop it is says what Maildrop says, and tracing
// changes nothing.
func TestTraceIsTheDecision(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"alice", "bob", "", "a\x00", "alice@PARTNER.TEST"}
	pick := func() string { return names[r.IntN(len(names))] }
	for range 20000 {
		var rules auth.Accounts
		for range r.IntN(4) {
			rules = append(rules, randomRule(r, pick))
		}
		id := auth.Identity{User: pick(), Authzid: pick()}
		if r.IntN(2) == 0 {
			id.Attrs = map[string]string{"principal": id.User + "@EXAMPLE.TEST", "realm": "EXAMPLE.TEST"}
		}
		var steps []auth.Step
		grant, err := rules.Decide(id, inside, func(s auth.Step) { steps = append(steps, s) })
		name, again := rules.Maildrop(id, inside)
		if name != grant.Maildrop || !reflect.DeepEqual(err, again) {
			t.Fatalf("%v: %v, %v, but %q, %v", id, grant, err, name, again)
		}
		if err := explains(steps, grant, err); err != nil {
			t.Fatalf("%v of %d rules: %v, %v: %v", id, len(rules), grant, err, err)
		}
	}
}

func randomRule(r *rand.Rand, pick func() string) auth.Account {
	who, gives, ok := pick(), pick(), r.IntN(3) > 0
	a := auth.Account{
		Name:     fmt.Sprint("rule ", r.IntN(9)),
		Maildrop: func(auth.Identity, auth.Peer) (string, error) { return gives, nil },
	}
	switch r.IntN(4) {
	case 0:
		a.When = func(id auth.Identity, _ auth.Peer) (bool, error) { return id.User == who, nil }
	case 1:
		a.When = func(auth.Identity, auth.Peer) (bool, error) {
			return false, auth.Refuse(auth.ErrUnknown, "no-attribute")
		}
	case 2:
		a.When = func(id auth.Identity, _ auth.Peer) (bool, error) { return id.User == who, fmt.Errorf("broken") }
	}
	if ok {
		a.AllowAuthzid, a.AllowAuthzidFrom = yes, insideOnly
	}
	return a
}

// explains says what is wrong with steps for what was decided.
func explains(steps []auth.Step, g auth.Grant, err error) error {
	if len(steps) == 0 {
		if auth.Reason(err) != "malformed-user" {
			return fmt.Errorf("no step")
		}
		return nil
	}
	last := steps[len(steps)-1]
	for _, s := range steps {
		if s.Matches && s.Maildrop == "" && s.Err == nil {
			return fmt.Errorf("%+v matches and gives nothing", s)
		}
	}
	switch {
	case err == nil && (!last.Matches || last.Err != nil || last.Maildrop != g.Maildrop):
		return fmt.Errorf("the last step was %+v", last)
	case err != nil && last.Err == nil && auth.Reason(err) != "authzid-not-allowed":
		return fmt.Errorf("the last step was %+v", last)
	case err != nil && last.Err != nil && last.Err.Error() != err.Error():
		return fmt.Errorf("the last step was %+v", last)
	}
	return nil
}
