package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kpopd/config"
)

// However a secret is written down, and however wrong the rest is, it is not
// shown. Each of these is put before, after and between other mistakes.
func TestSecretsAreNotShown(t *testing.T) {
	const secret = "hunter2"
	for _, line := range []string{
		`password = "hunter2"`,
		`bind_password = "hunter2`,
		`password = hunter2`,
		`password : "hunter2"`,
		`password "hunter2"`,
		`PASSWORD="hunter2"`,
		`api_key = ["hunter2", "hunter2"]`,
		`api_key = [` + "\n" + `"hunter2",` + "\n" + `]`,
		`log { token = "hunter2" level = "x" }`,
		`clientSecret = <<E` + "\nhunter2\nE",
		`"secret" = "hunter2"`,
		`x = { "secret" = "hunter2" }`,
		`x = { a = 1, secret = "hunter2" }`,
		`bind_password_file = "hunter2"`,
		`url = "https://admin:hunter2@host/"`,
		`hostname = "${file("secret.txt")}"`,
		`hostname = file("secret.txt")[0]`,
		`hostname = {}[file("secret.txt")]`,
		`hostname = file("secret.txt") + 1`,
		`hostname = join(file("secret.txt"), file("secret.txt"))`,
		`hostname = contains(file("secret.txt"), "x")`,
		`hostname = split("x", file("secret.txt")).hunter`,
		`hostname = [for x in [file("secret.txt")] : x]`,
		`hostname = env("KPOPD_TEST_SECRET")`,
		`hostname = env(env("KPOPD_TEST_SECRET"))`,
		`hostname = file(env("KPOPD_TEST_SECRET"))`,
		`hostname = regex(file("secret.txt"), "x")`,
		`hostname = regex(env("KPOPD_TEST_SECRET"), "x")`,
		`hostname = env("KPOPD_TEST_UNSET", "hunter2")`,
		`hostname = true ? "hunter2 (" : file("secret.txt")`,
		"account {\n when = file(\"secret.txt\") == 1 ? user : 5\n maildrop = {}[env(\"KPOPD_TEST_SECRET\")]\n}",
	} {
		for _, around := range [][2]string{{"", ""}, {"kerberos {\n", ""}, {"x = \"\n", ""}, {"foo(\n", ")\n}"}, {"/* ", ""}, {"x = <<E\n", "\nE"}} {
			dir := writeFiles(t, map[string]string{
				"bad.hcl": around[0] + line + "\n" + around[1] + "\nnonsense {\n", "secret.txt": secret + "("})
			t.Setenv("KPOPD_TEST_SECRET", secret+"(")
			_, diags := config.Load(filepath.Join(dir, "bad.hcl"))
			var b strings.Builder
			if err := diags.WriteText(&b, 80, true); err != nil {
				t.Fatal(err)
			}
			if shown := b.String() + diags.Error(); strings.Contains(shown, secret) {
				t.Errorf("%q around %s:\n%s", around, line, shown)
			}
			if !diags.HasErrors() {
				t.Errorf("%q around %s: no error", around, line)
			}
		}
	}
}

// A path is no secret, and saying nothing helps nobody.
func TestPathsAreShown(t *testing.T) {
	_, diags := config.Parse("x.hcl", []byte("tls {\n  key_file = \"/etc/kpopd/tls.key\"\n  keytab = \"/etc/keytab\"\n}\n"))
	var b strings.Builder
	if err := diags.WriteText(&b, 0, false); err != nil {
		t.Fatal(err)
	}
	if want := `keytab = "/etc/keytab"`; !strings.Contains(b.String(), want) {
		t.Errorf("%s is not in\n%s", want, &b)
	}
}

// Nothing in a file can drive the terminal.
func TestControlCharactersAreNotShown(t *testing.T) {
	_, diags := config.Parse("x\x1b[2J.hcl", []byte("foo = \"\x1b]0;title\x07\u009b\"\nb\x1bar {\n"))
	var b strings.Builder
	if err := diags.WriteText(&b, 80, false); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\x07\u009b") {
		t.Errorf("%q", &b)
	}
}

func TestFileFunction(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"name.txt":   "pop.example.com\r\n\n",
		"binary.txt": "\xff\xfe",
		"big.txt":    strings.Repeat("x", 65<<10),
	})
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"name.txt": "", "binary.txt": "no UTF-8", "big.txt": "larger than 64 KiB", "dir": "not a regular file",
		"missing": "no such file", filepath.Join(dir, "name.txt"): "",
	} {
		text := strings.Replace(minimal, `"pop.example.com"`, "file(\""+name+"\")", 1)
		f, diags := config.Parse(filepath.Join(dir, "x.hcl"), []byte(text))
		switch {
		case want == "" && (f == nil || f.Hostname != "pop.example.com" || !strings.HasSuffix(strings.Join(f.Read, " "), "name.txt")):
			t.Errorf("%s: %+v, %v", name, f, diags)
		case want != "" && !strings.Contains(diags.Error(), want):
			t.Errorf("%s: %v", name, diags)
		}
	}
}
