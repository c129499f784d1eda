package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// readSources returns all of the program but its tests.
func readSources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, root := range []string{"../../auth", "../../server", "../../maildrop", "."} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// TestReasons compares REASONS.md with the refusals that there are.
func TestReasons(t *testing.T) {
	text, err := os.ReadFile("REASONS.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-z0-9, -]+) \|`).FindAllStringSubmatch(string(text), -1) {
		for word := range strings.SplitSeq(row[1], ", ") {
			if explained[word] && word != "reason" { // the tables' heads
				t.Errorf("REASONS.md explains %q twice", word)
			}
			explained[word] = true
		}
	}
	delete(explained, "reason")
	source := readSources(t)
	refusals := regexp.MustCompile(`(?:Refuse\(.*|= cause\{)"([a-z0-9-]+)"[,)}]`).FindAllStringSubmatch(source, -1)
	if len(refusals) < 80 {
		t.Fatalf("only %d refusals found", len(refusals))
	}
	for _, r := range refusals {
		if !explained[r[1]] {
			t.Errorf("REASONS.md does not explain %q", r[1])
		}
	}
	for word := range explained {
		if !strings.Contains(source, `"`+word+`"`) {
			t.Errorf("REASONS.md explains %q, which no refusal has", word)
		}
	}
}
