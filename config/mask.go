package config

import (
	"bytes"
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
	for i := 0; i < len(tokens); i++ {
		from, to, next := secretAt(tokens, i)
		if from < last || from >= to || to > len(text) {
			continue
		}
		m.text = appendPrintable(m.text, text[last:from])
		start := len(m.text)
		m.text = append(m.text, stars...)
		m.text = append(m.text, bytes.Repeat([]byte{'\n'}, bytes.Count(text[from:to], []byte{'\n'}))...)
		m.spans = append(m.spans, span{from, to, start, len(m.text)})
		last, i = to, next
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

// secretAt returns the bytes of the value that tokens[i] names, if it is to be
// masked, and the index of the value's last token. Else from is to.
func secretAt(tokens hclsyntax.Tokens, i int) (from, to, last int) {
	name := tokens[i]
	if name.Type != hclsyntax.TokenIdent && name.Type != hclsyntax.TokenQuotedLit {
		return 0, 0, i
	}
	start := i + 1
	if start < len(tokens) && tokens[start].Type == hclsyntax.TokenCQuote {
		start++ // an object's key may be quoted
	}
	if start >= len(tokens) {
		return 0, 0, i
	}
	assigned := tokens[start].Type == hclsyntax.TokenEqual || tokens[start].Type == hclsyntax.TokenColon
	if assigned {
		start++
	} else if name.Type != hclsyntax.TokenIdent || tokens[start].Type != hclsyntax.TokenOQuote {
		return 0, 0, i
	}
	end := valueEnd(tokens, start)
	if end <= start {
		return 0, 0, i
	}
	value := tokens[start:end]
	secret := isSecretName(string(name.Bytes)) && !isPath(string(name.Bytes), value)
	if !secret && !(assigned && callsOutside(value)) {
		return 0, 0, i
	}
	return value[0].Range.Start.Byte, value[len(value)-1].Range.End.Byte, end - 1
}

// valueEnd returns the index after the last token of the value that begins at
// start: up to a line end, comma or closing bracket that is not inside it.
func valueEnd(tokens hclsyntax.Tokens, start int) int {
	depth := 0
	for i := start; i < len(tokens); i++ {
		switch tokens[i].Type {
		case hclsyntax.TokenEOF:
			return i
		case hclsyntax.TokenNewline, hclsyntax.TokenComma, hclsyntax.TokenComment:
			if depth == 0 {
				return i
			}
		}
		if depth += nesting(tokens[i].Type); depth < 0 {
			return i
		}
	}
	return len(tokens)
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
	for _, w := range words {
		switch {
		case w == "pass" || w == "pw" || w == "pin" || strings.HasSuffix(w, "key") || strings.HasSuffix(w, "keys"):
			return true
		}
	}
	return false
}

// isPath reports whether the value of name is the path of a file: what is
// called …_file and has a slash. A password put there by mistake has none,
// mostly.
func isPath(name string, value hclsyntax.Tokens) bool {
	return strings.HasSuffix(name, "_file") && len(value) == 3 &&
		value[1].Type == hclsyntax.TokenQuotedLit && bytes.ContainsRune(value[1].Bytes, '/')
}

// callsOutside reports whether a value calls env or file.
func callsOutside(value hclsyntax.Tokens) bool {
	for i, t := range value[:len(value)-1] {
		if t.Type == hclsyntax.TokenIdent && value[i+1].Type == hclsyntax.TokenOParen && isOutside(string(t.Bytes)) {
			return true
		}
	}
	return false
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
