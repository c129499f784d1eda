package config_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"kpopd/config"
)

const retained = `
hostname = "pop.example.com"
listener "x" {
  address  = "127.0.0.1:110"
  protocol = "pop3"
  tls      = "off"
}
maildrop "maildir" {
  path = "%s"
}
%s`

func retain(t *testing.T, path, more string) *config.File {
	t.Helper()
	return mustParse(t, fmt.Sprintf(retained, path, more))
}

func TestExpire(t *testing.T) {
	f := retain(t, "/srv/${maildrop}", "")
	if got := f.Expire("alice"); got != 0 || !slices.Equal(f.Expires(), []int{0}) {
		t.Errorf("without retention: %d, %d", got, f.Expires())
	}
	f = retain(t, "/srv/${maildrop}", `
retention {
  maildrops = ["partner/*", "a?ice"]
  expire    = "30d"
}
retention {
  maildrops = ["partner/*/x", "partner/bob"]
  expire    = "7d"
}`)
	for name, want := range map[string]int{"partner/bob": 30, "alice": 30, "partner/a/x": 7, "partner": config.Never, "bob": config.Never} {
		if got := f.Expire(name); got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	if got := f.Expires(); !slices.Equal(got, []int{30, 7, config.Never}) {
		t.Errorf("Expires = %d", got)
	}
	f = retain(t, "/srv/${maildrop}", "retention {\n expire = \"1d\"\n}")
	if got := f.Expires(); !slices.Equal(got, []int{1}) {
		t.Errorf("Expires = %d", got)
	}
}

// What is announced is what somebody can get: rules that keep out do not count,
// and where the last rule is for everybody, nothing else holds.
func TestLoginDelays(t *testing.T) {
	for rules, want := range map[string][]time.Duration{
		"": {0, 0},
		"account {\n maildrop = user\n login_delay = \"1m\"\n}":                                                             {time.Minute},
		"account {\n maildrop = \"\"\n}\naccount {\n maildrop = lower(user)\n login_delay = \"1m\"\n}":                      {time.Minute},
		"account {\n when = user == \"x\"\n maildrop = user\n login_delay = \"1m\"\n}":                                      {time.Minute, 0},
		"account {\n maildrop = attr.realm\n login_delay = \"1m\"\n}":                                                       {time.Minute, 0},
		"account {\n maildrop = regex(\"^a$\", user)\n login_delay = \"1m\"\n}":                                             {time.Minute, 0},
		"account {\n when = user == \"\"\n maildrop = user\n}\naccount {\n maildrop = \"shared\"\n login_delay = \"2s\"\n}": {0, 2 * time.Second},
	} {
		if got := retain(t, "/srv/${maildrop}", rules).LoginDelays(); !slices.Equal(got, want) {
			t.Errorf("%s\nLoginDelays = %v, want %v", rules, got, want)
		}
	}
}

func TestNameOf(t *testing.T) {
	for path, places := range map[string]map[string]string{
		"/srv/${maildrop}":                 {"alice": "alice", "partner/bob": "partner/bob", "": "", "../x": "", "a//b": "", "./a": ""},
		"/srv/${maildrop}/Maildir":         {"alice/Maildir": "alice", "partner/bob/Maildir": "partner/bob", "alice": "", "Maildir": "", "alice/Maildir/Maildir": "alice/Maildir", "/Maildir": ""},
		"/srv/${\"x/\"}${maildrop}.d/mail": {},
		"/srv/${lower(maildrop)}":          {},
		"/srv/${maildrop}/${maildrop}":     {},
	} {
		f := retain(t, path, "")
		if f.Maildrop.Invertible() != (len(places) > 0) {
			t.Errorf("%s: invertible: %t", path, f.Maildrop.Invertible())
		}
		for rel, want := range places {
			if name, ok := f.Maildrop.NameOf(rel); name != want && ok || ok != (want != "") {
				t.Errorf("%s: name of %q: %q, %t; want %q", path, rel, name, ok, want)
			}
		}
		if name, ok := f.Maildrop.NameOf("alice"); len(places) == 0 && ok {
			t.Errorf("%s: a name, %q, that cannot be told", path, name)
		}
	}
}
