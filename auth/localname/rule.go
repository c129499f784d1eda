package localname

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A mapping is a RULE.
type mapping struct {
	count  int            // of components; 0: any
	pieces []piece        // of the selection string; nil: the name without its realm
	match  *regexp.Regexp // nil: everything
	edits  []edit
}

// A piece of the selection string is literal text, or a component.
type piece struct {
	literal string
	index   int // 0: the realm; -1: the literal
}

// An edit is s/what/text/, or with all, s/what/text/g.
type edit struct {
	what *regexp.Regexp
	text string
	all  bool
}

// parse reads what follows "RULE:".
func parse(text string) (rule, error) {
	var m mapping
	rest, err := m.selection(text)
	if err == nil {
		rest, err = m.condition(rest)
	}
	for err == nil && rest != "" {
		rest, err = m.edit(rest)
	}
	if err != nil {
		return nil, err
	}
	return m.local, nil
}

// selection reads [n:string]. In string, $0 is the realm and $1 the first
// component.
func (m *mapping) selection(text string) (rest string, err error) {
	text, ok := strings.CutPrefix(text, "[")
	if !ok {
		return text, nil
	}
	count, text, ok := strings.Cut(text, ":")
	if m.count, err = number(count); !ok || err != nil || m.count == 0 {
		return "", errors.New("behind [ come the number of components and a colon")
	}
	m.pieces = []piece{}
	for {
		i := strings.IndexAny(text, "$]")
		if i < 0 {
			return "", errors.New("the ] is missing")
		}
		m.pieces = append(m.pieces, piece{literal: text[:i], index: -1})
		if text[i] == ']' {
			return text[i+1:], nil
		}
		text = text[i+1:]
		digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
		n, err := number(digits)
		if err != nil || n > m.count {
			return "", fmt.Errorf("behind $ comes a number up to %d", m.count)
		}
		m.pieces = append(m.pieces, piece{index: n})
		text = text[len(digits):]
	}
}

// number reads a decimal number without a sign.
func number(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), err
}

// condition reads (regexp), which ends at the first closing parenthesis.
func (m *mapping) condition(text string) (rest string, err error) {
	text, ok := strings.CutPrefix(text, "(")
	if !ok {
		return text, nil
	}
	expr, rest, ok := strings.Cut(text, ")")
	if !ok {
		return "", errors.New("the ) is missing")
	}
	m.match, err = compile(expr)
	return rest, err
}

// edit reads s/regexp/text/ and, behind it, g. There is no way to write a slash
// in either, and the text is taken as it is.
func (m *mapping) edit(text string) (rest string, err error) {
	parts := strings.SplitN(strings.TrimLeft(text, " \t"), "/", 4)
	if len(parts) != 4 || parts[0] != "s" {
		return "", errors.New("at the end of a rule there may be s/regexp/text/ or s/regexp/text/g, and nothing else")
	}
	e := edit{text: parts[2]}
	if e.what, err = compile(parts[1]); err != nil {
		return "", err
	}
	rest, e.all = strings.CutPrefix(parts[3], "g")
	if e.all && e.what.MatchString("") {
		return "", fmt.Errorf("the regular expression %q with g matches nothing at all, without an end", parts[1])
	}
	m.edits = append(m.edits, e)
	return rest, nil
}

// local is the rule.
func (m *mapping) local(_ *Rules, components []string, realm string) (string, bool) {
	if m.pieces != nil && m.count != len(components) {
		return "", false
	}
	name := toRunes(m.selected(components, realm))
	if m.match != nil {
		// It has to match all of the string, but is not told so: of
		// alternatives the longest counts, wherever the first begins.
		at := m.match.FindStringIndex(name)
		if at == nil || at[0] != 0 || at[1] != len(name) {
			return "", false
		}
	}
	for _, e := range m.edits {
		name = e.apply(name)
	}
	return toBytes(name), true
}

func (m *mapping) selected(components []string, realm string) string {
	if m.pieces == nil {
		return unparse(components)
	}
	var b strings.Builder
	for _, p := range m.pieces {
		switch p.index {
		case -1:
			b.WriteString(p.literal)
		case 0:
			b.WriteString(realm)
		default:
			b.WriteString(components[p.index-1])
		}
	}
	return b.String()
}

// apply replaces the first match, or all. What follows a match is a text of its
// own: ^ matches at its beginning.
func (e edit) apply(s string) string {
	var b strings.Builder
	text := toRunes(e.text)
	for b.Len() <= 2*maxName {
		at := e.what.FindStringIndex(s)
		if at == nil {
			break
		}
		b.WriteString(s[:at[0]] + text)
		s = s[at[1]:]
		if !e.all {
			break
		}
	}
	return b.String() + s
}
