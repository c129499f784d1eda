package main

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"kpopd/testenv"
)

// A guess is a wrong login with a user's name. It returns all replies, with
// what is random in them left out, and how long the last took.
type guess func(t *testing.T, addr, user string) (replies string, took time.Duration)

// guesses are wrong logins by every mechanism in which the client says a name
// and shows something that its user knows.
var guesses = map[string]guess{
	"USER":          guessUser,
	"APOP":          guessAPOP,
	"PLAIN":         guessPlain,
	"LOGIN":         guessLogin,
	"CRAM-MD5":      guessCRAM,
	"SCRAM-SHA-256": guessSCRAM("SCRAM-SHA-256", 32),
	"SCRAM-SHA-1":   guessSCRAM("SCRAM-SHA-1", 20),
}

// guessed are the users of the directory that are guessed at, besides alice of
// the file: with a password, and with and without a secret that serves.
var guessed = map[string][]string{
	"USER": {"hashed"}, "PLAIN": {"hashed"}, "LOGIN": {"hashed"}, "APOP": {"plain", "cram"}, "CRAM-MD5": {"plain", "cram", "hashed"},
	"SCRAM-SHA-256": {"plain", "sha256", "hashed"}, "SCRAM-SHA-1": {"plain", "sha1"},
}

// TestNothingTellsUsers guesses at users that exist and users that do not, in a
// file and in a directory, by each mechanism and in turns: the replies are the
// same, and the time that they take tells nobody apart. What is measured is
// printed: medians, quartiles, and how often the answer to one guess would be
// put down to the right kind of user by its time, of which half is chance.
func TestNothingTellsUsers(t *testing.T) {
	w := testenv.Start(t)
	s := newSite(t)
	s.Extra = "throttle {\n  enabled = false\n}\n"
	s.write(t, "users", secretLine(t, "alice", "PLAIN", "right")+secretLine(t, "keys", "SCRAM-SHA-256", "right"))
	file := "authenticator \"file\" \"users\" {\n  path = \"" + s.Dir + "/users\"\n}"
	base, _ := s.secretUnit(t)
	block := strings.Replace(s.ldapBlock(t, `secret_attribute = "kpopdSecret"`+"\n  filter = \"(uid=${user})\"", w.LDAP(t).URL), testenv.PeopleDN, base, 1)
	d := s.startEdited(t, `"GSSAPI", "PLAIN", "APOP"`, digestMechanisms, file, file+"\n"+block)
	for name, try := range guesses {
		t.Run(name, func(t *testing.T) {
			for _, user := range append([]string{"alice"}, guessed[name]...) {
				compare(t, d.addrs["clear"], try, user)
			}
		})
	}
}

// compare guesses at one user and at nobody. Something else may have the
// processor at times, so that one quiet measurement of five will do.
func compare(t *testing.T, addr string, try guess, user string) {
	const tries = 5
	for n := 1; ; n++ {
		times, right := measure(t, addr, try, user)
		ratio := float64(middle(times[0])) / float64(middle(times[1]))
		t.Logf("%-6s median %v, quartiles %v and %v", user, middle(times[0]), quantile(times[0], 1), quantile(times[0], 3))
		t.Logf("nobody median %v, quartiles %v and %v; ratio %.2f, told apart in %.0f%%", middle(times[1]), quantile(times[1], 1), quantile(times[1], 3), ratio, 100*right)
		if math.Abs(math.Log(ratio)) < math.Log(1.5) && math.Abs(right-0.5) < 0.25 {
			return
		}
		if n == tries {
			t.Fatalf("the time tells %s from nobody", user)
		}
	}
}

// measure returns the times of guesses at the user and at nobody, sorted, and
// the share of pairs in which the user's took longer.
func measure(t *testing.T, addr string, try guess, user string) (times [2][]time.Duration, longer float64) {
	const rounds, enough = 60, 25 // where they take long
	said := map[string]bool{}
	begun := time.Now()
	for n := 0; n < rounds && (n < enough || time.Since(begun) < 2*time.Second); n++ {
		names := [2]string{user, fmt.Sprintf("n%0*d", len(user)-1, rand.IntN(int(math.Pow10(len(user)-1))))}
		for _, i := range rand.Perm(2) {
			replies, took := try(t, addr, names[i])
			said[strings.ReplaceAll(replies, names[i], "USER")] = true
			times[i] = append(times[i], took)
		}
	}
	if len(said) != 1 {
		t.Fatalf("the replies tell %s from nobody: %v", user, said)
	}
	for _, a := range times[0] {
		for _, b := range times[1] {
			switch {
			case a > b:
				longer++
			case a == b:
				longer += 0.5
			}
		}
	}
	slices.Sort(times[0])
	slices.Sort(times[1])
	return times, longer / float64(len(times[0])*len(times[1]))
}

func middle(sorted []time.Duration) time.Duration { return quantile(sorted, 2) }

func quantile(sorted []time.Duration, quarter int) time.Duration {
	return sorted[quarter*len(sorted)/4]
}

// An attempt is a connection on which one guess is made.
type attempt struct {
	*client
	said strings.Builder // the replies, without what is random in them
	took time.Duration   // from the last line to its reply
}

func beginGuess(t *testing.T, addr string) *attempt {
	c := &attempt{client: dial(t, addr)}
	c.line() // the greeting
	return c
}

// send sends a line and returns the reply. hide replaces what is random in it.
func (c *attempt) send(line string, hide func(string) string) string {
	begun := time.Now()
	reply := c.client.say("%s", line)
	c.took = time.Since(begun)
	c.said.WriteString(hide(reply) + "\n")
	return reply
}

func (c *attempt) end() (string, time.Duration) {
	c.Close()
	return c.said.String(), c.took
}

func asItIs(s string) string { return s }

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func guessUser(t *testing.T, addr, user string) (string, time.Duration) {
	c := beginGuess(t, addr)
	c.send("USER "+user, asItIs)
	c.send(fmt.Sprint("PASS wrong ", rand.Int64()), asItIs)
	return c.end()
}

func guessAPOP(t *testing.T, addr, user string) (string, time.Duration) {
	c := beginGuess(t, addr)
	c.send(fmt.Sprintf("APOP %s %032x", user, rand.Uint64()), asItIs)
	return c.end()
}

func guessPlain(t *testing.T, addr, user string) (string, time.Duration) {
	c := beginGuess(t, addr)
	c.send("AUTH PLAIN "+base64Of("\x00"+user+"\x00wrong "+fmt.Sprint(rand.Int64())), asItIs)
	return c.end()
}

func guessLogin(t *testing.T, addr, user string) (string, time.Duration) {
	c := beginGuess(t, addr)
	c.send("AUTH LOGIN "+base64Of(user), asItIs)
	c.send(base64Of(fmt.Sprint("wrong ", rand.Int64())), asItIs)
	return c.end()
}

func guessCRAM(t *testing.T, addr, user string) (string, time.Duration) {
	c := beginGuess(t, addr)
	c.send("AUTH CRAM-MD5", func(challenge string) string { return challenge[:2] })
	c.send(base64Of(fmt.Sprintf("%s %032x", user, rand.Uint64())), asItIs)
	return c.end()
}

// guessSCRAM takes the time of both steps: the first one looks the user up.
func guessSCRAM(hash string, proof int) guess {
	return func(t *testing.T, addr, user string) (string, time.Duration) {
		c := beginGuess(t, addr)
		challenge := c.send("AUTH "+hash+" "+base64Of("n,,n="+user+",r=nonce"), hideSCRAM)
		took := c.took
		b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(challenge, "+ "))
		nonce, _, ok := strings.Cut(string(b), ",")
		if err != nil || !ok {
			t.Fatalf("%q: %v", challenge, err)
		}
		c.send(base64Of("c=biws,"+nonce+",p="+base64Of(strings.Repeat("x", proof))), asItIs)
		c.took += took
		return c.end()
	}
}

// hideSCRAM keeps of a challenge what may differ between users: the length of
// the salt, and the iterations.
func hideSCRAM(reply string) string {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(reply, "+ "))
	parts := strings.Split(string(b), ",")
	if err != nil || len(parts) != 3 {
		return reply
	}
	return fmt.Sprint(len(parts[0]), " ", len(parts[1]), " ", parts[2])
}
