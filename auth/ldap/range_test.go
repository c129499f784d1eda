package ldap_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"

	"kpopd/auth"
)

// ranged answers for cn=alice as a server does that sends a few values at a
// time: by the attributes that are asked for, else the first range.
func ranged(first map[string][]string, more map[string]map[string][]string) *stub {
	return &stub{ask: func(search *ber.Packet, send func(*ber.Packet)) {
		for _, attr := range search.Children[len(search.Children)-1].Children {
			if answer, ok := more[attr.Data.String()]; ok {
				send(fullEntry("cn=alice", answer))
				return
			}
		}
		first["uid"] = []string{"alice"}
		send(fullEntry("cn=alice", first))
	}}
}

// groupDNs are cn=from,dc=test to cn=to,dc=test.
func groupDNs(from, to int) []string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprintf("cn=%d,dc=test", i))
	}
	return all
}

// TestRanges collects the values that a server sends range by range.
func TestRanges(t *testing.T) {
	type answers = map[string]map[string][]string
	for _, c := range []struct {
		name   string
		first  map[string][]string
		more   answers
		groups int
		reason string // "": alice is let in
	}{
		{"none", map[string][]string{"memberOf": groupDNs(0, 2)}, nil, 3, ""},
		{"one", map[string][]string{"memberOf;range=0-*": groupDNs(0, 2)}, nil, 3, ""},
		{"three", map[string][]string{"memberOf": nil, "memberOf;range=0-1": groupDNs(0, 1), "mailbox": nil, "mailbox;range=0-0": {"z"}},
			answers{
				"memberOf;range=2-*": {"memberOf;range=2-3": groupDNs(2, 3)},
				"memberOf;range=4-*": {"MEMBEROF;Range=4-*": groupDNs(4, 4)},
				"mailbox;range=1-*":  {"mailbox;range=1-*": {"a"}},
			}, 5, ""},
		{"many", map[string][]string{"memberOf;range=0-1499": groupDNs(0, 1499)},
			answers{"memberOf;range=1500-*": {"memberOf;range=1500-*": groupDNs(1500, 1999)}}, 2000, ""},
		{"too many", map[string][]string{"memberOf;range=0-1499": groupDNs(0, 1499)},
			answers{"memberOf;range=1500-*": {"memberOf;range=1500-2999": groupDNs(1500, 2999)}}, 0, "too-many-values"},
		{"too many at last", map[string][]string{"memberOf;range=0-1499": groupDNs(0, 1499)},
			answers{"memberOf;range=1500-*": {"memberOf;range=1500-*": groupDNs(1500, 2999)}}, 0, "too-many-groups"},
		{"a circle", map[string][]string{"memberOf;range=0-1": groupDNs(0, 1)},
			answers{"memberOf;range=2-*": {"memberOf;range=0-1": groupDNs(0, 1)}}, 0, "directory-answer"},
		{"nothing", map[string][]string{"memberOf;range=0-1": groupDNs(0, 1)},
			answers{"memberOf;range=2-*": {"memberOf;range=2-5": nil}}, 0, "directory-answer"},
		{"not from the start", map[string][]string{"memberOf;range=7-*": groupDNs(0, 1)}, nil, 0, "directory-answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := stubConfig(ranged(c.first, c.more).start(t))
			conf.Attributes = []string{"mailbox"}
			id, err := try(t, open(t, conf), "alice", "x")
			if c.reason != "" {
				if !errors.Is(err, auth.ErrUnavailable) || auth.Reason(err) != c.reason {
					t.Errorf("%v, want %s", err, c.reason)
				}
				return
			}
			groups := slices.DeleteFunc(id.Groups, func(name string) bool { return !strings.Contains(name, "=") })
			if err != nil || !slices.Equal(groups, groupDNs(0, c.groups-1)) {
				t.Errorf("%d groups, %v, want %d", len(groups), err, c.groups)
			}
			if c.name == "three" && id.Attrs["mailbox"] != "a" {
				t.Errorf("the first value of all is %q", id.Attrs["mailbox"])
			}
		})
	}
}
