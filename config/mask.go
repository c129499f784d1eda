package config

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A mask is a source text whose secrets are replaced by asterisks, always as
// many, and whose control characters by question marks. Line ends stay, so
// that lines keep their numbers.
type mask struct {
	text  []byte
	spans []span
}

// A span is where a stretch of the original went.
type span struct{ from, to, newFrom, newTo int }

var stars = []byte("***")

// maskSecrets finds secrets by their tokens, because a file that does not
// parse is shown most often, and by its lines, because a quote that is not
// closed turns what follows into text.
func maskSecrets(text []byte) *mask {
	tokens, _ := hclsyntax.LexConfig(text, "", hcl.Pos{Line: 1, Column: 1})
	m := &mask{}
	for _, v := range secretValues(tokens) {
		m.spans = append(m.spans, span{from: tokens[v.first].Range.Start.Byte, to: tokens[v.end-1].Range.End.Byte})
	}
	m.spans = append(m.spans, secretLines(text)...)
	m.merge()
	last := 0
	for i := range m.spans {
		s := &m.spans[i]
		m.text = appendPrintable(m.text, text[last:s.from])
		s.newFrom = len(m.text)
		m.text = append(m.text, stars...)
		m.text = append(m.text, bytes.Repeat([]byte{'\n'}, bytes.Count(text[s.from:s.to], []byte{'\n'}))...)
		s.newTo, last = len(m.text), s.to
	}
	m.text = appendPrintable(m.text, text[last:])
	return m
}

// merge sorts the spans and joins those that overlap.
func (m *mask) merge() {
	slices.SortFunc(m.spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var merged []span
	for _, s := range m.spans {
		if n := len(merged); n > 0 && s.from <= merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, s.to)
		} else {
			merged = append(merged, s)
		}
	}
	m.spans = merged
}

var (
	assignment = regexp.MustCompile(`([A-Za-z][A-Za-z0-9_-]*)"?[ \t]*[=:]`)
	userinfo   = regexp.MustCompile(`://([^/\s"]+)@`) // RFC 3986 §3.2.1
)

// secretLines returns the rests of lines that assign to a secret's name, and
// the user names and passwords of URLs.
func secretLines(text []byte) []span {
	var spans []span
	last := 0
	for _, at := range assignment.FindAllSubmatchIndex(text, -1) {
		if at[0] < last || !isSecretName(string(text[at[2]:at[3]])) {
			continue
		}
		rest := text[at[1]:]
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			rest = rest[:i]
		}
		value := bytes.TrimLeft(rest, " \t")
		last = at[1] + len(rest)
		path := bytes.HasSuffix(text[at[2]:at[3]], []byte("_file")) && bytes.ContainsRune(value, '/')
		if !path && len(value) > 0 {
			spans = append(spans, span{from: last - len(value), to: last})
		}
	}
	for _, at := range userinfo.FindAllSubmatchIndex(text, -1) {
		spans = append(spans, span{from: at[2], to: at[3]})
	}
	return spans
}

// move returns where the byte at offset of the original text went.
func (m *mask) move(offset int) int {
	i := sort.Search(len(m.spans), func(i int) bool { return m.spans[i].from > offset }) - 1
	if i < 0 {
		return offset
	}
	s := m.spans[i]
	if offset < s.to {
		return s.newFrom
	}
	return offset - s.to + s.newTo
}

// A tokenValue is the value of an assignment: tokens first to end, without end.
type tokenValue struct {
	first, end int
	depth      int  // of the brackets around it
	secret     bool // by its name
	outside    bool // it calls env or file
}

// secretValues returns the values to be masked, by their beginning. It goes
// through the tokens once, whatever is nested in what.
func secretValues(tokens hclsyntax.Tokens) []tokenValue {
	var found, open []tokenValue
	depth := 0
	closeTo := func(i, depth int) { // values end whose brackets do, or whose line
		for len(open) > 0 && open[len(open)-1].depth >= depth {
			v := open[len(open)-1]
			open = open[:len(open)-1]
			if v.end = i; (v.secret || v.outside) && v.end > v.first {
				found = append(found, v)
			}
		}
	}
	for i, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenNewline, hclsyntax.TokenComma, hclsyntax.TokenComment:
			closeTo(i, depth)
		case hclsyntax.TokenEOF:
			closeTo(i, -1<<31)
		}
		n := nesting(t.Type)
		if depth += n; n < 0 {
			closeTo(i, depth+1)
		}
		if callsOutside(tokens[i:]) {
			markOutside(tokens, open)
		}
		if first, secret, ok := assignedAt(tokens, i); ok {
			at := depth
			if t.Type == hclsyntax.TokenQuotedLit {
				at-- // its quotes are closed before the value begins
			}
			open = append(open, tokenValue{first: first, depth: at, secret: secret})
		}
	}
	slices.SortFunc(found, func(a, b tokenValue) int { return cmp.Compare(a.first, b.first) })
	return found
}

// markOutside marks the innermost value, and those around it that begin on the
// same line: what looks like one may be a branch of a conditional.
func markOutside(tokens hclsyntax.Tokens, open []tokenValue) {
	line := 0
	for i := len(open) - 1; i >= 0 && !open[i].outside; i-- {
		start := tokens[open[i].first-1].Range.Start.Line
		if line != 0 && start != line {
			return
		}
		line = start
		open[i].outside = true
	}
}

// assignedAt returns where the value begins that tokens[i] is the name of, and
// whether the name is a secret's.
func assignedAt(tokens hclsyntax.Tokens, i int) (first int, secret, ok bool) {
	name, next := tokens[i], i+1
	switch name.Type {
	case hclsyntax.TokenIdent:
	case hclsyntax.TokenQuotedLit: // an object's key may be quoted
		next++
	default:
		return 0, false, false
	}
	if next >= len(tokens) {
		return 0, false, false
	}
	switch tokens[next].Type {
	case hclsyntax.TokenEqual, hclsyntax.TokenColon:
		secret = isSecretName(string(name.Bytes)) && !isPath(string(name.Bytes), tokens[next+1:])
		return next + 1, secret, true
	case hclsyntax.TokenOQuote: // no assignment, but meant to be one
		secret = name.Type == hclsyntax.TokenIdent && isSecretName(string(name.Bytes))
		return next, secret, secret
	}
	return 0, false, false
}

// isSecretName reports whether something so called is likely to be a secret.
func isSecretName(name string) bool {
	name = strings.ToLower(strings.Trim(name, `"`))
	for _, s := range []string{"password", "passwd", "passphrase", "secret", "token", "credential"} {
		if strings.Contains(name, s) {
			return true
		}
	}
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' })
	return slices.ContainsFunc(words, func(w string) bool {
		return w == "pass" || w == "pw" || w == "pin" || strings.HasSuffix(w, "key") || strings.HasSuffix(w, "keys")
	})
}

// isPath reports whether the value of name is the path of a file: what is
// called …_file and has a slash. A password put there by mistake has none,
// mostly.
func isPath(name string, value hclsyntax.Tokens) bool {
	return strings.HasSuffix(name, "_file") && len(value) > 2 && value[0].Type == hclsyntax.TokenOQuote &&
		value[1].Type == hclsyntax.TokenQuotedLit && bytes.ContainsRune(value[1].Bytes, '/') &&
		value[2].Type == hclsyntax.TokenCQuote
}

// callsOutside reports whether tokens begin with a call of env or file.
func callsOutside(tokens hclsyntax.Tokens) bool {
	return len(tokens) > 1 && tokens[0].Type == hclsyntax.TokenIdent && isOutside(string(tokens[0].Bytes)) &&
		tokens[1].Type == hclsyntax.TokenOParen
}

// appendPrintable appends text with each control character but tab and line
// end, and each byte that is no UTF-8, replaced by as many question marks as
// it has bytes.
func appendPrintable(dst, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		bad := r == utf8.RuneError && n == 1 || unicode.IsControl(r) && r != '\n' && r != '\t'
		if bad {
			dst = append(dst, "??"[:n]...)
		} else {
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return dst
}
