package config

import (
	"bytes"
	"cmp"
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
// parse is shown most often.
func maskSecrets(text []byte) *mask {
	tokens, _ := hclsyntax.LexConfig(text, "", hcl.Pos{Line: 1, Column: 1})
	m := &mask{}
	last := 0
	for _, v := range secretValues(tokens) {
		from, to := tokens[v.first].Range.Start.Byte, tokens[v.end-1].Range.End.Byte
		if from < last { // inside another one
			continue
		}
		m.text = appendPrintable(m.text, text[last:from])
		start := len(m.text)
		m.text = append(m.text, stars...)
		m.text = append(m.text, bytes.Repeat([]byte{'\n'}, bytes.Count(text[from:to], []byte{'\n'}))...)
		m.spans = append(m.spans, span{from, to, start, len(m.text)})
		last = to
	}
	m.text = appendPrintable(m.text, text[last:])
	return m
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
	depth      int // of the brackets around it
	secret     bool
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
			if v.end = i; v.secret && v.end > v.first {
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
		if len(open) > 0 && callsOutside(tokens[i:]) {
			open[len(open)-1].secret = true
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
