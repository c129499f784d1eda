package auth_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"kpopd/auth"
)

// ticket is the identity of a ticket, as auth/krb5 makes it: the user is the
// only component for the keytab's own realm, else the whole principal.
func ticket(user, principal string) auth.Identity {
	_, realm, _ := strings.Cut(strings.ReplaceAll(principal, `\@`, ""), "@")
	return auth.Identity{
		User: user, Mechanism: "GSSAPI", Source: "kerberos",
		Attrs: map[string]string{"principal": principal, "realm": realm},
	}
}

func password(user string) auth.Identity {
	return auth.Identity{User: user, Mechanism: "PLAIN", Source: "file"}
}

func as(id auth.Identity, authzid string) auth.Identity {
	id.Authzid = authzid
	return id
}

// lower is the rule maildrop = lower(user).
func lower(id auth.Identity, _ auth.Peer) (string, error) { return strings.ToLower(id.User), nil }

func whole(id auth.Identity, _ auth.Peer) (string, error) { return id.User, nil }

// inside is a client in a network that impersonators may come from.
var (
	inside     = auth.Peer{Addr: netip.MustParseAddrPort("192.0.2.7:40000")}
	insideOnly = auth.Networks{Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
)

func yes(auth.Identity, auth.Peer) (bool, error) { return true, nil }

// partner is the rule for the realm PARTNER.TEST: the first component, below
// a folder of its own.
func partner() auth.Account {
	return auth.Account{
		When: func(id auth.Identity, _ auth.Peer) (bool, error) { return id.Attrs["realm"] == "PARTNER.TEST", nil },
		Maildrop: func(id auth.Identity, _ auth.Peer) (string, error) {
			name, _, _ := strings.Cut(id.User, "@")
			return "partner/" + name, nil
		},
	}
}

// webmail is the rule for an identity that may open everybody's maildrop but root's.
func webmail() auth.Account {
	return auth.Account{
		When:         func(id auth.Identity, _ auth.Peer) (bool, error) { return id.User == "webmail", nil },
		Maildrop:     whole,
		AllowAuthzid: func(id auth.Identity, _ auth.Peer) (bool, error) { return id.Authzid != "root", nil },

		AllowAuthzidFrom: insideOnly,
	}
}

type accountTest struct {
	name   string
	id     auth.Identity
	want   string // the maildrop, or if empty:
	reason string // of ErrDenied
}

func checkAccounts(t *testing.T, rules auth.Accounts, tests []accountTest) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := rules.Maildrop(test.id, inside)
			if test.want != "" {
				if err != nil || got != test.want {
					t.Errorf("%q, %v, want %q", got, err, test.want)
				}
				return
			}
			if got != "" || !errors.Is(err, auth.ErrDenied) || auth.Reason(err) != test.reason {
				t.Errorf("%q, %v, want reason %q", got, err, test.reason)
			}
		})
	}
}

// Without rules: nobody gets a maildrop by a name that looks like another's.
func TestAccountsNone(t *testing.T) {
	checkAccounts(t, nil, []accountTest{
		{"password", password("alice"), "alice", ""},
		{"password, case kept", password("Alice"), "Alice", ""},
		{"ticket", ticket("alice", "alice@EXAMPLE.TEST"), "alice", ""},
		{"machine", ticket("HOST$", "HOST$@EXAMPLE.TEST"), "HOST$", ""},
		{"number", ticket("0", "0@EXAMPLE.TEST"), "0", ""},
		{"foreign twin", ticket("alice@PARTNER.TEST", "alice@PARTNER.TEST"), "", "no-account-rule"},
		{"foreign administrator", ticket("Administrator@ASIA.TEST", "Administrator@ASIA.TEST"), "", "no-account-rule"},
		{"instance", ticket("alice/admin@EXAMPLE.TEST", "alice/admin@EXAMPLE.TEST"), "", "no-account-rule"},
		{"instance, user cut wrongly", ticket("alice/admin", "alice/admin@EXAMPLE.TEST"), "", "no-account-rule"},
		{"user that is not the principal's", ticket("alice", "alice/admin@EXAMPLE.TEST"), "", "no-account-rule"},
		{"user of a foreign principal", ticket("alice", "mallory@PARTNER.TEST"), "", "no-account-rule"},
		{"enterprise name", ticket("alice@corp.test", `alice\@corp.test@EXAMPLE.TEST`), "", "no-account-rule"},
		{"slash in a component", ticket("alice/admin", `alice\/admin@EXAMPLE.TEST`), "", "no-account-rule"},
		{"realm without a principal", auth.Identity{User: "alice", Attrs: map[string]string{"realm": "PARTNER.TEST"}}, "", "no-account-rule"},
		{"nobody", auth.Identity{}, "", "malformed-user"},
		{"NUL", password("alice\x00bob"), "", "malformed-user"},
		{"line end", password("alice\n"), "", "malformed-user"},
		{"escape", ticket("al\x1bice", "al\x1bice@EXAMPLE.TEST"), "", "malformed-user"},
		{"not UTF-8", password("al\xffice"), "", "malformed-user"},
	})
}

// An authzid is one's own name, byte for byte, or nothing.
func TestAccountsAuthzid(t *testing.T) {
	own := ticket("alice", "alice@EXAMPLE.TEST")
	checkAccounts(t, nil, []accountTest{
		{"user", as(own, "alice"), "alice", ""},
		{"principal", as(own, "alice@EXAMPLE.TEST"), "alice", ""},
		{"password user", as(password("alice"), "alice"), "alice", ""},
		{"somebody else", as(own, "bob"), "", "authzid-not-allowed"},
		{"somebody else, by password", as(password("alice"), "bob"), "", "authzid-not-allowed"},
		{"principal, by password", as(password("alice"), "alice@EXAMPLE.TEST"), "", "authzid-not-allowed"},
		{"case", as(own, "ALICE"), "", "authzid-not-allowed"},
		{"case of the realm", as(own, "alice@example.test"), "", "authzid-not-allowed"},
		{"twin", as(own, "alice@PARTNER.TEST"), "", "authzid-not-allowed"},
		{"at", as(own, "alice@"), "", "authzid-not-allowed"},
		{"NUL", as(own, "alice\x00"), "", "authzid-not-allowed"},
		{"NUL and another", as(own, "alice\x00bob"), "", "authzid-not-allowed"},
		{"space", as(own, "alice "), "", "authzid-not-allowed"},
		{"prefix", as(own, "alic"), "", "authzid-not-allowed"},
		{"path", as(own, "../alice"), "", "authzid-not-allowed"},
		{"foreign, asking for the local twin", as(ticket("alice@PARTNER.TEST", "alice@PARTNER.TEST"), "alice"), "", "no-account-rule"},
		{"foreign, asking for himself", as(ticket("alice@PARTNER.TEST", "alice@PARTNER.TEST"), "alice@PARTNER.TEST"), "", "no-account-rule"},
		{"instance, asking for the user", as(ticket("alice/admin@EXAMPLE.TEST", "alice/admin@EXAMPLE.TEST"), "alice"), "", "no-account-rule"},
	})
}

func TestAccountsRules(t *testing.T) {
	rules := auth.Accounts{partner(), webmail(), {Maildrop: lower}}
	bob := ticket("bob@PARTNER.TEST", "bob@PARTNER.TEST")
	checkAccounts(t, rules, []accountTest{
		{"first match decides", bob, "partner/bob", ""},
		{"rest", password("Alice"), "alice", ""},
		{"authzid is the user", as(password("Alice"), "Alice"), "alice", ""},
		{"authzid is the maildrop", as(password("Alice"), "alice"), "alice", ""},
		{"authzid is neither", as(password("Alice"), "ALICE"), "", "authzid-not-allowed"},
		{"foreign maildrop", as(bob, "partner/bob"), "partner/bob", ""},
		{"foreign, local twin", as(bob, "bob"), "", "authzid-not-allowed"},
		{"instance has a rule", ticket("Alice/admin@EXAMPLE.TEST", "Alice/admin@EXAMPLE.TEST"), "alice/admin@example.test", ""},
	})
}

// A granted authzid is given the maildrop that its own password would have.
func TestAccountsImpersonation(t *testing.T) {
	rules := auth.Accounts{partner(), webmail(), {Maildrop: lower}}
	agent := ticket("webmail", "webmail@EXAMPLE.TEST")
	checkAccounts(t, rules, []accountTest{
		{"itself", agent, "webmail", ""},
		{"granted", as(agent, "Bob"), "bob", ""},
		{"refused by the rule", as(agent, "root"), "", "authzid-not-allowed"},
		{"no rule of the realm applies", as(agent, "bob@PARTNER.TEST"), "bob@partner.test", ""},
		{"malformed", as(agent, "bob\x00"), "", "authzid-not-allowed"},
		{"long", as(agent, strings.Repeat("b", 256)), "", "authzid-not-allowed"},
		{"another may not", as(password("alice"), "webmail"), "", "authzid-not-allowed"},
		{"foreign webmail", as(ticket("webmail@PARTNER.TEST", "webmail@PARTNER.TEST"), "bob"), "", "authzid-not-allowed"},
	})
	only := auth.Accounts{webmail()}
	checkAccounts(t, only, []accountTest{
		{"default for the other", as(agent, "bob"), "bob", ""},
	})
	nobodys := auth.Accounts{webmail(), {Maildrop: func(auth.Identity, auth.Peer) (string, error) { return "", nil }}}
	checkAccounts(t, nobodys, []accountTest{
		{"the other has no maildrop", as(agent, "bob"), "", "no-maildrop"},
	})
}

// Who may act as another may do so only from where the rule says.
func TestAccountsImpersonationNetworks(t *testing.T) {
	at := func(addr string) auth.Peer { return auth.Peer{Addr: netip.MustParseAddrPort(addr)} }
	prefixes := func(all ...string) (n auth.Networks) {
		for _, s := range all {
			n.Prefixes = append(n.Prefixes, netip.MustParsePrefix(s))
		}
		return n
	}
	unix := auth.Peer{Unix: true}
	for _, test := range []struct {
		from auth.Networks
		peer auth.Peer
		ok   bool
	}{
		{auth.Networks{}, at("192.0.2.7:1"), false},
		{auth.Networks{}, unix, false},
		{auth.Networks{}, auth.Peer{}, false},
		{prefixes("192.0.2.0/24"), at("192.0.2.7:1"), true},
		{prefixes("192.0.2.0/24"), at("[::ffff:192.0.2.7]:1"), true},
		{prefixes("192.0.2.0/24"), at("192.0.3.7:1"), false},
		{prefixes("192.0.2.0/24"), at("[2001:db8::1]:1"), false},
		{prefixes("2001:db8::/32", "fe80::/10"), at("[fe80::1%eth0]:1"), true},
		{prefixes("::/0"), at("192.0.2.7:1"), false},
		{prefixes("::/0"), at("[::ffff:192.0.2.7]:1"), false},
		{prefixes("0.0.0.0/0"), at("192.0.2.7:1"), true},
		{prefixes("0.0.0.0/0", "::/0"), auth.Peer{}, false},
		{prefixes("0.0.0.0/0", "::/0"), unix, false},
		{auth.Networks{Unix: true}, unix, true},
		{auth.Networks{Unix: true}, at("127.0.0.1:1"), false},
		{auth.Networks{Unix: true}, auth.Peer{}, false},
	} {
		rules := auth.Accounts{{Name: "x:1", Maildrop: whole, AllowAuthzid: yes, AllowAuthzidFrom: test.from}}
		got, err := rules.Decide(as(password("agent"), "bob"), test.peer, nil)
		want := auth.Grant{Rule: "x:1"}
		if test.ok {
			want = auth.Grant{Maildrop: "bob", Rule: "x:1", Impersonates: true}
		}
		if got != want || (err == nil) != test.ok || !test.ok && auth.Reason(err) != "authzid-network" {
			t.Errorf("%v from %+v: %+v, %v", test.peer, test.from, got, err)
		}
		// For oneself the network does not matter.
		if name, err := rules.Maildrop(as(password("agent"), "agent"), test.peer); name != "agent" || err != nil {
			t.Errorf("%v: %q, %v", test.peer, name, err)
		}
	}
}

// A rule that cannot be evaluated lets nobody in, and nobody past it.
func TestAccountsErrors(t *testing.T) {
	broken := errors.New("no such function")
	missing := auth.Refuse(auth.ErrUnknown, "no-attribute")
	fails := func(err error) func(auth.Identity, auth.Peer) (bool, error) {
		return func(auth.Identity, auth.Peer) (bool, error) { return true, err }
	}
	named := func(err error) func(auth.Identity, auth.Peer) (string, error) {
		return func(auth.Identity, auth.Peer) (string, error) { return "wrong", err }
	}
	for _, test := range []struct {
		name string
		rule auth.Account
		id   auth.Identity
		want error // nil: the next rule decides
	}{
		{"when fails", auth.Account{When: fails(broken), Maildrop: whole}, password("alice"), auth.ErrUnavailable},
		{"maildrop fails", auth.Account{Maildrop: named(broken)}, password("alice"), auth.ErrUnavailable},
		{"maildrop denies", auth.Account{Maildrop: named(auth.ErrDenied)}, password("alice"), auth.ErrDenied},
		{"when lacks an attribute", auth.Account{When: fails(missing), Maildrop: whole}, password("alice"), nil},
		{"maildrop lacks an attribute", auth.Account{Maildrop: named(missing)}, password("alice"), nil},
		{"allow_authzid fails", auth.Account{Maildrop: whole, AllowAuthzid: fails(broken), AllowAuthzidFrom: insideOnly}, as(password("alice"), "bob"), auth.ErrUnavailable},
		{"allow_authzid lacks an attribute", auth.Account{Maildrop: whole, AllowAuthzid: fails(missing), AllowAuthzidFrom: insideOnly}, as(password("alice"), "bob"), auth.ErrDenied},
	} {
		t.Run(test.name, func(t *testing.T) {
			next := auth.Account{Maildrop: func(auth.Identity, auth.Peer) (string, error) { return "next", nil }, AllowAuthzid: yes}
			got, err := auth.Accounts{test.rule, next}.Maildrop(test.id, inside)
			if test.want == nil && (got != "next" || err != nil) {
				t.Errorf("%q, %v", got, err)
			}
			if test.want != nil && (got != "" || !errors.Is(err, test.want)) {
				t.Errorf("%q, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestAccountsMalformedMaildrop(t *testing.T) {
	for _, name := range []string{"a\x00b", "a\nb", "\xff", strings.Repeat("x", 1025)} {
		rule := auth.Account{Maildrop: func(auth.Identity, auth.Peer) (string, error) { return name, nil }}
		got, err := auth.Accounts{rule}.Maildrop(password("alice"), auth.Peer{})
		if got != "" || auth.Reason(err) != "malformed-maildrop" {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}

func ExampleAccounts() {
	rules := auth.Accounts{
		{
			When: func(id auth.Identity, _ auth.Peer) (bool, error) {
				return strings.HasSuffix(id.User, "@PARTNER.TEST"), nil
			},
			Maildrop: func(id auth.Identity, _ auth.Peer) (string, error) { return "partner/" + id.User, nil },
		},
	}
	for _, id := range []auth.Identity{{User: "alice"}, {User: "bob@PARTNER.TEST"}, {User: "alice", Authzid: "bob"}} {
		fmt.Println(rules.Maildrop(id, auth.Peer{}))
	}
	// Output:
	// alice <nil>
	// partner/bob@PARTNER.TEST <nil>
	//  authzid-not-allowed: auth: not permitted
}
