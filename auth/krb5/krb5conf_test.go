package krb5

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	if err := parseConf([]byte(confSample), &c, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"kdc1.corp.example:88", "kdc2.corp.example:750", "[2001:db8::1]:88", "[2001:db8::2]:88", "kdc3.corp.example:88"}
	if got := c.kdcs["CORP.EXAMPLE"]; !slices.Equal(got, want) {
		t.Errorf("KDCs %q", got)
	}
	if c.DefaultRealm != "CORP.EXAMPLE" || !c.noLookup {
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
	for _, bad := range []string{"word", "[realms]\nA = {\n", "a = {\n" + strings.Repeat("a = {\n", maxConfDepth), "}", strings.Repeat("x", 70000)} {
		if err := parseConf([]byte(bad), &Conf{}, nil); err == nil {
			t.Errorf("%.40q is a configuration", bad)
		}
	}
}

func TestConfFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("d/realm.conf", "[realms]\nCORP.EXAMPLE = {\nkdc = kdc1\n}\n")
	write("d/backup.conf~", "nonsense")
	write("d/.hidden.conf", "nonsense")
	write("one", "[libdefaults]\ndefault_realm = CORP.EXAMPLE\n")
	c, err := LoadConf(write("krb5.conf", "includedir "+dir+"/d/\ninclude "+dir+"/one\n[domain_realm]\nh = X\n"))
	if err != nil || c.DefaultRealm != "CORP.EXAMPLE" || len(c.kdcs["CORP.EXAMPLE"]) != 1 || c.realmOf("h") != "X" {
		t.Errorf("%+v, %v", c, err)
	}
	for name, text := range map[string]string{
		"loop": "include " + dir + "/loop\n", "missing": "include " + dir + "/nowhere\n", "nodir": "includedir " + dir + "/one\n",
		"large": strings.Repeat("#\n", maxConf),
	} {
		if _, err := LoadConf(write(name, text)); err == nil {
			t.Errorf("%s is no error", name)
		}
	}
	if _, err := LoadConf(dir); err == nil {
		t.Error("a directory is no error")
	}
}

func FuzzConf(f *testing.F) {
	f.Add([]byte(confSample))
	f.Add([]byte("[realms]\nA={\nkdc=[::1]:\n}\ninclude x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Conf
		if parseConf(b, &c, func(bool, string) error { return nil }) != nil {
			return
		}
		for _, addrs := range c.kdcs {
			for _, a := range addrs {
				if !strings.Contains(a, ":") || strings.ContainsAny(a, " \t\n") {
					t.Errorf("address %q", a)
				}
			}
		}
		c.realmOf(string(b))
	})
}
