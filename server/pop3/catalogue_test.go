package pop3_test

import (
	"bytes"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kpopd/server/pop3"
)

// TestCatalogues: each reply has words in each language, and no language has
// words for what is never said.
func TestCatalogues(t *testing.T) {
	said := texts(t)
	if len(said) < 40 || !slices.Contains(said, "Authentication failed") || !slices.Contains(said, "%d octets") {
		t.Fatalf("these are not all replies: %q", said)
	}
	catalogues := pop3.Catalogues()
	for _, tag := range []string{"de", "es", "fr", "ja"} {
		if catalogues[tag] == nil {
			t.Errorf("no catalogue for %s", tag)
		}
	}
	for tag, catalogue := range catalogues {
		for _, text := range said {
			if catalogue[text] == "" {
				t.Errorf("catalogue_%s.go has nothing for the reply %q", tag, text)
			}
		}
		for text, words := range catalogue {
			if !slices.Contains(said, text) {
				t.Errorf("catalogue_%s.go has %q, which no reply says", tag, text)
			}
			for _, what := range wrongWords(text, words) {
				t.Errorf("%s: %q: %s", tag, words, what)
			}
		}
	}
}

var verb = regexp.MustCompile(`%[^a-z]*[a-z%]?`)

// busy are the words that fetchmail takes for a server that is busy, where a
// login is refused.
var busy = regexp.MustCompile(`(?i)lock|wait|unavailable`)

// wrongWords says what is wrong with the words for a text.
func wrongWords(text pop3.Text, words string) (wrong []string) {
	add := func(is bool, what string) {
		if is {
			wrong = append(wrong, what)
		}
	}
	add(!slices.Equal(verb.FindAllString(string(text), -1), verb.FindAllString(words, -1)), "not the verbs of the English")
	add(strings.HasPrefix(string(text), "%d") != strings.HasPrefix(words, "%d"), "a number does not begin it as in English")
	add(!utf8.ValidString(words) || strings.ContainsFunc(words, func(r rune) bool { return !unicode.IsPrint(r) }), "no printable text")
	add(strings.HasPrefix(words, "["), "looks like a response code (RFC 2449 §8)")
	add(strings.TrimSpace(words) != words || words == "", "space around it, or nothing")
	add(len(words) > 400, "longer than a reply may be")
	add(busy.MatchString(words) && !busy.MatchString(string(text)), "fetchmail takes it for a busy server")
	return wrong
}

// The English is ASCII (RFC 1939 §3), as it is said before LANG.
func TestTextsAreASCII(t *testing.T) {
	for _, text := range texts(t) {
		if strings.ContainsFunc(string(text), func(r rune) bool { return r < ' ' || r > '~' }) || strings.HasPrefix(string(text), "[") {
			t.Errorf("%q", text)
		}
	}
}

func TestWrongWords(t *testing.T) {
	for _, c := range [][2]string{
		{"%d octets", "octets"}, {"%d octets", "%s octets"}, {"%d octets", "octets: %d"}, {"Bye", "100% bye"}, {"Bye", "a\r\nb"}, {"Bye", "a\u2028b"}, {"Bye", "\xff"},
		{"Bye", "[AUTH] bye"}, {"Bye", ""}, {"Bye", " bye"}, {"Bye", strings.Repeat("é", 201)}, {"Bye", "blocked"},
	} {
		if len(wrongWords(pop3.Text(c[0]), c[1])) == 0 {
			t.Errorf("%q for %q is taken", c[1], c[0])
		}
	}
}

// texts are the values of all constant expressions of type Text in the package:
// whatever can be said is one of them, or somebody converts a string.
func texts(t *testing.T) []pop3.Text {
	t.Helper()
	fset := token.NewFileSet()
	files := parsePackage(t, fset)
	info := &types.Info{Types: make(map[ast.Expr]types.TypeAndValue)}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", exports(t))}
	pkg, err := config.Check("kpopd/server/pop3", fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	text := pkg.Scope().Lookup("Text").Type()
	var all []pop3.Text
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			tv := info.Types[e]
			if call, ok := e.(*ast.CallExpr); ok && tv.Type == text && tv.Value == nil && info.Types[call.Fun].IsType() {
				t.Errorf("%s: no constant: nobody can translate it", fset.Position(e.Pos()))
			}
			if tv.Type != text || tv.Value == nil {
				return true
			}
			if s := pop3.Text(constant.StringVal(tv.Value)); s != "" && !slices.Contains(all, s) {
				all = append(all, s)
			}
			return false // a part of it is no reply
		})
	}
	return all
}

// parsePackage parses what is compiled of the package, but for the catalogues.
func parsePackage(t *testing.T, fset *token.FileSet) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(name, "catalogue_") {
			for _, d := range f.Decls {
				hollow(d)
			}
		}
		files = append(files, f)
	}
	return files
}

// hollow empties a catalogue: its keys are nobody's replies.
func hollow(d ast.Decl) {
	ast.Inspect(d, func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok {
			lit.Elts = nil
		}
		return true
	})
}

// exports finds what the compiler knows of the packages that this one imports.
func exports(t *testing.T) importer.Lookup {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	at := make(map[string]string)
	for line := range bytes.Lines(out) {
		path, file, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		at[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(at[path]) }
}

// RFC 4647 §3.4, and its example.
func TestMatchLanguage(t *testing.T) {
	for _, c := range []struct{ lang, preferred, want string }{
		{"de", "", "de"}, {"DE", "", "de"}, {"de-CH", "", "de"}, {"de-ch-1996", "", "de"}, {"fr-CA", "", "fr"}, {"es-419", "", "es"}, {"ja-JP", "", "ja"},
		{"en", "", "en"}, {"en-boont", "", "en"}, {"ja-Hira-x-private", "", "ja"}, {"de-a-b-c", "", "de"}, {"i-default", "de", "en"}, {"I-DEFAULT", "", "en"},
		{"*", "", "en"}, {"*", "ja", "ja"},
		{"MUL", "", ""}, {"uga", "", ""}, {"d", "", ""}, {"deutsch", "", ""}, {"x-de", "", ""}, {"i-klingon", "", ""}, {"zh-Hant-CN-x-private1-private2", "", ""},
		{"", "", ""}, {"-", "", ""}, {"de-", "", ""}, {"-de", "", ""}, {"de--CH", "", ""}, {"de_CH", "", ""}, {"de-*", "", ""}, {"*-DE", "", ""}, {"d3", "", ""},
		{"de-abcdefghi", "", ""}, {"ｄｅ", "", ""}, {"de\x00", "", ""}, {strings.Repeat("a-", 200) + "a", "", ""},
	} {
		if got := pop3.MatchLanguage(c.lang, c.preferred); got != c.want {
			t.Errorf("LANG %q with preferred %q is %q, want %q", c.lang, c.preferred, got, c.want)
		}
	}
	if !pop3.IsLanguage("de") || pop3.IsLanguage("DE") || pop3.IsLanguage("") || pop3.IsLanguage("de-CH") {
		t.Error("IsLanguage")
	}
}

// FuzzMatchLanguage: a range selects a language that its first subtag names, or
// none.
func FuzzMatchLanguage(f *testing.F) {
	for _, s := range []string{"*", "de", "de-CH-1996", "i-default", "x-y", "-", "de-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, _, _ := strings.Cut(strings.ToLower(s), "-")
		if tag := pop3.MatchLanguage(s, "fr"); tag != "" && tag != first && s != "*" && first != "i" {
			t.Errorf("%q selects %q", s, tag)
		}
	})
}
