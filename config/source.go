package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds of what is read. The parser's time grows with the square of the
// nesting and of the pieces of a text, and its stack with operators, so these
// have bounds as well.
const (
	maxSource    = 1 << 20
	maxSources   = 1000
	maxNesting   = 64
	maxOperators = 10000
	maxLines     = 2000
	maxListeners = 1000
	maxNetworks  = 100 // of a listener
	maxLoops     = 2
)

// A source is one configuration file as it was read.
type source struct {
	name   string
	text   []byte
	file   *hcl.File // nil where it did not get as far as the parser
	masked func() *mask
}

func newSource(name string, text []byte) *source {
	s := &source{name: name, text: text}
	s.masked = sync.OnceValue(func() *mask { return maskSecrets(text) })
	return s
}

// readSources reads a file, or the *.hcl files of a directory in name order.
func readSources(path string) ([]*source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	names := []string{path}
	if info.IsDir() {
		if names, err = listSources(path); err != nil {
			return nil, err
		}
	}
	var all []*source
	for _, name := range names {
		text, err := readBounded(name, maxSource)
		if err != nil {
			return nil, err
		}
		all = append(all, newSource(name, text))
	}
	return all, nil
}

func listSources(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		hidden := strings.HasPrefix(e.Name(), ".")
		if !hidden && !e.IsDir() && filepath.Ext(e.Name()) == ".hcl" {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	switch {
	case len(names) == 0:
		return nil, fmt.Errorf("%s: the directory holds no *.hcl file", dir)
	case len(names) > maxSources:
		return nil, fmt.Errorf("%s: the directory holds more than %d *.hcl files", dir, maxSources)
	}
	return names, nil
}

// readBounded reads a regular file of at most limit bytes. It does not wait
// for the writer of a named pipe.
func readBounded(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("larger than %d KiB", limit>>10)}
	}
	return text, err
}

// parse parses s, once its tokens show that the parser can bear it.
func (s *source) parse() (*hclsyntax.Body, hcl.Diagnostics) {
	start := hcl.Pos{Line: 1, Column: 1}
	tokens, _ := hclsyntax.LexConfig(s.text, s.name, start)
	if diag := checkBounds(tokens); diag != nil {
		return nil, hcl.Diagnostics{diag}
	}
	file, diags := hclsyntax.ParseConfig(s.text, s.name, start)
	if file == nil {
		return nil, diags
	}
	s.file = file
	return file.Body.(*hclsyntax.Body), diags
}

// explain leaves out what only repeats that a string was not closed, and says
// more where one line holds a block of several arguments, as other dialects
// permit.
func explain(diags hcl.Diagnostics) hcl.Diagnostics {
	unclosed := false
	var out hcl.Diagnostics
	for _, diag := range diags {
		switch diag.Summary {
		case "Invalid multi-line string":
			if unclosed {
				continue
			}
			unclosed = true
		case "Invalid single-argument block definition":
			diag.Detail += " Put each argument on a line of its own."
		}
		out = append(out, diag)
	}
	return out
}

// checkBounds refuses what is nested too deep, or has too many operators
// or too long a text.
func checkBounds(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	depth, operators, lines := 0, 0, 0
	for _, t := range tokens {
		depth += nesting(t.Type)
		if isOperator(t.Type) {
			operators++
		}
		if lines++; t.Type != hclsyntax.TokenStringLit && t.Type != hclsyntax.TokenQuotedLit {
			lines = 0
		}
		switch {
		case depth > maxNesting:
			return excess(t, "Nested too deep", "Brackets and templates may be nested %d deep.", maxNesting)
		case operators > maxOperators:
			return excess(t, "Too many operators", "One file may hold %d operators.", maxOperators)
		case lines > maxLines:
			return excess(t, "Too long a text", "A text may have %d lines or escapes.", maxLines)
		}
	}
	return nil
}

func excess(t hclsyntax.Token, summary, format string, bound int) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Subject: t.Range.Ptr(), Summary: summary, Detail: fmt.Sprintf(format, bound)}
}

// nesting returns what a token adds to the depth of brackets and templates.
func nesting(t hclsyntax.TokenType) int {
	switch t {
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen,
		hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl, hclsyntax.TokenOHeredoc, hclsyntax.TokenOQuote:
		return 1
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen,
		hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCHeredoc, hclsyntax.TokenCQuote:
		return -1
	}
	return 0
}

// isOperator reports whether the parser may recurse at t without a bracket.
func isOperator(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenPercent,
		hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq,
		hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr,
		hclsyntax.TokenBang, hclsyntax.TokenQuestion, hclsyntax.TokenTemplateControl:
		return true
	}
	return false
}
