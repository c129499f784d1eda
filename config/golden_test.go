package config_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kpopd/config"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The golden files are what a user is shown for each testdata/*.hcl.
func TestGolden(t *testing.T) {
	t.Setenv("KPOPD_TEST_SECRET", "hunter2hunter2")
	files, err := filepath.Glob("testdata/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no test data", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			f, diags := config.Load(file)
			if (f == nil) != diags.HasErrors() {
				t.Fatalf("File is nil: %t, has errors: %t", f == nil, diags.HasErrors())
			}
			var got bytes.Buffer
			if err := diags.WriteText(&got, 80, false); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(strings.ToLower(got.String()+diags.Error()), "hunter2") {
				t.Errorf("a secret is shown:\n%s", &got)
			}
			golden := strings.TrimSuffix(file, ".hcl") + ".golden"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", &got, want)
			}
		})
	}
}
