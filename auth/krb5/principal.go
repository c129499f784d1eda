package krb5

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jcmturner/gokrb5/v8/types"
)

// maxPrincipal bounds the octets of a printed principal.
const maxPrincipal = 1024

// A Principal is a Kerberos name: its components and its realm (RFC 4120 §6.1,
// §6.2). The name type says nothing about identity and is not kept.
type Principal struct {
	Components []string
	Realm      string
}

// String returns the principal as MIT Kerberos prints it, component/component@REALM
// with what separates or does not print escaped by a backslash. Different
// principals print differently, so the text may serve as a key.
func (p Principal) String() string {
	var b strings.Builder
	b.Grow(p.octets() + len(p.Realm)) // unless some are escaped
	for i, c := range p.Components {
		if i > 0 {
			b.WriteByte('/')
		}
		escapeInto(&b, c)
	}
	b.WriteByte('@')
	escapeInto(&b, p.Realm)
	return b.String()
}

func escapeInto(b *strings.Builder, s string) {
	for i := range len(s) {
		switch c := s[i]; c {
		case '/', '@', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\n':
			b.WriteString(`\n`)
		case '\t':
			b.WriteString(`\t`)
		case '\b':
			b.WriteString(`\b`)
		case 0:
			b.WriteString(`\0`)
		default:
			b.WriteByte(c)
		}
	}
}

// ParsePrincipal reads what [Principal.String] writes. A text without a realm
// gives a Principal without one.
func ParsePrincipal(s string) (Principal, error) {
	var (
		p       Principal
		part    strings.Builder
		inRealm bool
	)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
			if i == len(s) {
				return Principal{}, fmt.Errorf("krb5: principal %q ends in a backslash", s)
			}
			part.WriteByte(unescape(s[i]))
		case c == '/' && !inRealm:
			p.Components = append(p.Components, part.String())
			part.Reset()
		case c == '@' && !inRealm:
			p.Components = append(p.Components, part.String())
			part.Reset()
			inRealm = true
		case c == '/' || c == '@':
			return Principal{}, fmt.Errorf("krb5: principal %q has a %q in its realm", s, c)
		default:
			part.WriteByte(c)
		}
	}
	if inRealm {
		p.Realm = part.String()
	} else {
		p.Components = append(p.Components, part.String())
	}
	if slices.Contains(p.Components, "") {
		return Principal{}, fmt.Errorf("krb5: principal %q has an empty component", s)
	}
	return p, nil
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case '0':
		return 0
	}
	return c
}

// Equal reports whether p and q are the same principal. Case counts
// (RFC 4120 §6.1, §6.2).
func (p Principal) Equal(q Principal) bool {
	return p.Realm == q.Realm && slices.Equal(p.Components, q.Components)
}

// Valid returns nil if p can be shown to people and put into names: every part
// present, valid UTF-8 without control characters, not longer than a line.
func (p Principal) Valid() error {
	if len(p.Components) == 0 {
		return errors.New("krb5: a principal without a name")
	}
	for _, c := range p.Components {
		if err := validPart(c); err != nil {
			return err
		}
	}
	if p.octets()+len(p.Realm) > maxPrincipal+len(p.Components) {
		return errors.New("krb5: a principal that is too long")
	}
	return validPart(p.Realm)
}

// octets is how long the components are, with a separator behind each.
func (p Principal) octets() int {
	n := len(p.Components)
	for _, c := range p.Components {
		n += len(c)
	}
	return n
}

func validPart(s string) error {
	switch {
	case s == "":
		return errors.New("krb5: a principal with an empty part")
	case !utf8.ValidString(s):
		return errors.New("krb5: a principal that is not UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("krb5: a principal with a control character")
	}
	return nil
}

// wellKnown reports whether p is one of the names that RFC 6111 reserves, such
// as the anonymous principal of RFC 6112 §3, which prove nobody.
func (p Principal) wellKnown() bool {
	return p.Components[0] == "WELLKNOWN" || strings.HasPrefix(p.Realm, "WELLKNOWN:")
}

// ticketGranter reports whether p is a ticket-granting service (RFC 4120 §7.3),
// which is nobody's client.
func (p Principal) ticketGranter() bool { return p.Components[0] == "krbtgt" }

// plainName returns the only component of p, if it has one that could not be
// taken for a whole principal.
func (p Principal) plainName() (string, bool) {
	if len(p.Components) != 1 || strings.ContainsAny(p.Components[0], `/@\`) {
		return "", false
	}
	return p.Components[0], true
}

func principalOf(n types.PrincipalName, realm string) Principal {
	return Principal{Components: n.NameString, Realm: realm}
}

// name returns p for a message, of type NT-PRINCIPAL or NT-SRV-INST
// (RFC 4120 §6.2).
func (p Principal) name() types.PrincipalName {
	t := int32(1)
	if len(p.Components) > 1 {
		t = 2
	}
	return types.PrincipalName{NameType: t, NameString: p.Components}
}
