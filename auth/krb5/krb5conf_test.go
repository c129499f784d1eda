package krb5

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const confSample = `# comment
; another
[logging]
 kdc = FILE:/var/log/krb5kdc.log
[libdefaults]
	default_realm = CORP.EXAMPLE
	default_realm = SECOND.EXAMPLE
	dns_lookup_kdc = no
	dns_lookup_kdc = yes
	permitted_enctypes = aes256-cts
[realms]
 CORP.EXAMPLE = {
  kdc = kdc1.corp.example
  kdc = tcp/kdc2.corp.example:750
  kdc = [2001:db8::1]
  kdc = 2001:db8::2
  kdc = https://proxy.corp.example/KdcProxy
  admin_server = kdc1.corp.example
  auth_to_local = {
    kdc = not.a.kdc
  }
  kdc* = "kdc3.corp.example"
 }
[domain_realm]
 .corp.example = CORP.EXAMPLE
 Special.corp.example = SPECIAL.EXAMPLE
 .example = EXAMPLE
`

func TestConf(t *testing.T) {
	var c Conf
	if err := parseConf("krb5.conf", confSample, &c, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"kdc1.corp.example:88", "kdc2.corp.example:750", "[2001:db8::1]:88", "[2001:db8::2]:88", "kdc3.corp.example:88"}
	if got := c.kdcs["CORP.EXAMPLE"]; !slices.Equal(got, want) {
		t.Errorf("KDCs %q", got)
	}
	if c.DefaultRealm != "CORP.EXAMPLE" || !isFalse(c.lookup) {
		t.Errorf("%+v", c)
	}
	for host, realm := range map[string]string{
		"dc1.corp.example": "CORP.EXAMPLE", "a.b.CORP.example.": "CORP.EXAMPLE", "special.corp.example": "SPECIAL.EXAMPLE",
		"corp.example": "EXAMPLE", "example": "", "localhost": "", "": "", ".": "",
	} {
		if got := c.realmOf(host); got != realm {
			t.Errorf("%q is of realm %q, want %q", host, got, realm)
		}
	}
}

func TestConfFiles(t *testing.T) {
	_, write := confFiles(t)
	write("d/10-first", "[realms]\n A = {\n kdc = kdc1\n auth_to_local = RULE:1\n }\n")
	write("d/20.conf", "[realms]\n A = {\n auth_to_local = \"RULE:2 \\\"x\\\"\"\n auth_to_local_names = {\n  a/b = c\n a/b = d\n }\n }*\n")
	write("d/30.conf~", "nonsense")
	write("d/.40.conf", "nonsense")
	write("more", "[libdefaults]*\n default_realm = FIRST\n")
	c, err := LoadConf(write("krb5.conf", "includedir DIR/d/\ninclude\tDIR/more\n; a comment\n[libdefaults]\n default_realm = A\n[domain_realm]\n h = X\n"+
		"[realms]\n A = {\n  auth_to_local = DEFAULT\n }\n B* = {\n auth_to_local = RULE:b\n}\n"+
		"[appdefaults]\n pam = {\n  x = {\n   auth_to_local = no\n  }\n }\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.DefaultRealm != "FIRST" || len(c.kdcs["A"]) != 1 || c.realmOf("h") != "X" {
		t.Errorf("%+v", c)
	}
	if want := []string{"RULE:1", `RULE:2 "x"`, "DEFAULT"}; !slices.Equal(c.LocalRules["A"], want) || len(c.LocalRules) != 2 || c.LocalNames["A"]["a/b"] != "c" {
		t.Errorf("%+v", c)
	}
}

func TestBadConf(t *testing.T) {
	dir, write := confFiles(t)
	write("more", "[libdefaults]\n default_realm = FIRST\n")
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"word\n", "x = y\n", "[realms\n", "[realms] x\n", "[realms]\n A = {\n", "[realms]\n }\n", "}\n", "[realms]\n x\n", "[realms]\n = x\n",
		"module /x:y\n", "include relative\n", "include DIR/bad.conf\n", "includedir DIR/missing\n", "includedir DIR/more\n",
		"include DIR/missing\n", "include DIR\n", "include DIR/fifo\n",
		"[a]\n" + strings.Repeat("x = {\n", maxConfDepth+1) + strings.Repeat("}\n", maxConfDepth+1),
		strings.Repeat("#\n", maxConf), strings.Repeat("include DIR/more\n", maxConfFiles),
	} {
		if _, err := LoadConf(write("bad.conf", text)); err == nil {
			t.Errorf("%.40q is a configuration", text)
		}
	}
	if _, err := LoadConf(dir); err == nil {
		t.Error("a directory is a configuration")
	}
}

// confFiles returns a directory, and what writes files to it: DIR stands for it.
func confFiles(t *testing.T) (dir string, write func(name, text string) (path string)) {
	dir = t.TempDir()
	return dir, func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
}

func FuzzConf(f *testing.F) {
	f.Add(confSample)
	f.Add("[realms]\nA={\nkdc=[::1]:\nauth_to_local=DEFAULT\nauth_to_local_names = {\na=b\n}\n}\ninclude x")
	f.Fuzz(func(t *testing.T, text string) {
		var c Conf
		if parseConf("krb5.conf", text, &c, func(bool, string) error { return nil }) != nil {
			return
		}
		for _, addrs := range c.kdcs {
			for _, a := range addrs {
				if !strings.Contains(a, ":") || strings.ContainsAny(a, " \t\n") {
					t.Errorf("address %q", a)
				}
			}
		}
		c.realmOf(text)
	})
}
