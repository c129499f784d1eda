package config_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kpopd/config"
)

// minimal is the least that loads without TLS.
const minimal = `
hostname = "pop.example.com"
listener "pop3" {
  address  = "127.0.0.1:110"
  protocol = "pop3"
  tls      = "off"
}
maildrop "maildir" {
  path = "/srv/mail/${maildrop}/Maildir"
}
`

// mustParse parses text, which must be without any diagnostics.
func mustParse(t testing.TB, text string) *config.File {
	t.Helper()
	f, diags := config.Parse("/etc/kpopd/test.hcl", []byte(text))
	if len(diags) > 0 {
		t.Fatalf("diagnostics:\n%v", diags)
	}
	return f
}

var ignorePlaces = cmp.Options{
	cmpopts.IgnoreTypes(config.Place{}),
	cmpopts.IgnoreUnexported(config.File{}, config.Account{}, config.Maildrop{}, config.Expression{}),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestExample(t *testing.T) {
	f, diags := config.Load("example.hcl")
	if len(diags) > 0 {
		t.Fatalf("diagnostics:\n%v", diags)
	}
	if len(f.Listeners) != 3 || f.Kerberos == nil || len(f.Accounts) != 4 {
		t.Errorf("the example lost a part: %+v", f)
	}
	for _, l := range f.Listeners {
		if l.Protocol != config.POP3 && l.Protocol != config.KPOP {
			t.Errorf("listener %q: %s", l.Name, l.Protocol)
		}
	}
}

// uncommented is the example with what it only mentions.
func uncommented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("example.hcl")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		// Prose has a space behind the #, HCL has none, or more in a block.
		bare := strings.TrimLeft(line, " ")
		if rest, ok := strings.CutPrefix(bare, "#"); ok && !proseLine(rest) {
			line = rest
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

// What the example only mentions has to be right as well.
func TestExampleUncommented(t *testing.T) {
	f, diags := config.Parse("example.hcl", []byte(uncommented(t)))
	if len(diags) > 0 {
		t.Fatalf("diagnostics:\n%v", diags)
	}
	if len(f.Authenticators) != 5 || len(f.Listeners) != 5 || f.Audit == nil || f.TLS.ClientCAFile == "" {
		t.Errorf("parts of the example were not uncommented: %+v", f)
	}
}

// Where the example has one thing or another, the other is right too.
func TestExampleAlternatives(t *testing.T) {
	for _, c := range []struct{ without, with string }{
		{"urls", "discover site"},
		{"bind_dn bind_password_file", "bind_keytab bind_principal krb5_conf"},
		{"jwks_url algorithms require_at_jwt", "introspection_url client_id client_secret_file cache"},
		{"filter lookup_filter attributes", "filter lookup_filter attributes"}, // of Active Directory
		{"filter", "bind_as"},
	} {
		text := uncommented(t)
		for name := range strings.FieldsSeq(c.without) {
			line := regexp.MustCompile(`(?m)^  ` + name + ` += .*\n`)
			if !line.MatchString(text) {
				t.Fatalf("the example has no %s", name)
			}
			text = line.ReplaceAllString(text, "")
		}
		for name := range strings.FieldsSeq(c.with) {
			line := regexp.MustCompile(`(?m)^ *# *(` + name + ` += .*\n)`)
			found := line.FindStringSubmatch(text)
			if found == nil {
				t.Fatalf("the example has no other %s", name)
			}
			block := map[bool]string{true: `authenticator "oauth" "sso" {`, false: `authenticator "ldap" "corp" {`}[strings.HasPrefix(c.with, "introspection")]
			text = strings.Replace(line.ReplaceAllString(text, ""), block+"\n", block+"\n  "+found[1], 1)
		}
		if _, diags := config.Parse("example.hcl", []byte(text)); len(diags) > 0 {
			t.Errorf("%s instead of %s:\n%v", c.with, c.without, diags)
		}
	}
}

// The example explains every argument that there is.
func TestExampleComplete(t *testing.T) {
	text, err := os.ReadFile("example.hcl")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	found := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\b(?:must|may)\("([a-z0-9_]+)", `).FindAllSubmatch(source, -1) {
			found++
			if !regexp.MustCompile(`\b` + string(m[1]) + `\s+=`).Match(text) {
				t.Errorf("the example does not show %s", m[1])
			}
		}
	}
	if found < 80 {
		t.Errorf("only %d arguments were found", found)
	}
}

func proseLine(rest string) bool {
	return strings.HasPrefix(rest, " ") && !strings.HasPrefix(rest, "  ") || strings.HasPrefix(rest, "   ") || rest == "\n"
}

func TestShortest(t *testing.T) {
	f := mustParse(t, `
hostname = "pop.example.com"
tls {
  certificate {
    cert_file = "tls.crt"
    key_file  = "/etc/tls.key"
  }
}
kerberos {
  keytab = "/etc/krb5.keytab"
}
maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
`)
	listener := func(name, addr string, p config.Protocol, mode config.TLSMode) config.Listener {
		return config.Listener{Name: name, Address: config.Address{Network: "tcp", Addr: addr}, Protocol: p, TLS: mode,
			LoginWithoutTLS: config.ClearTickets, LoginTimeout: time.Minute, Autologout: 10 * time.Minute, Language: "en", UTF8Messages: config.UTF8AsIs, SDPSSeparators: "@+"}
	}
	want := &config.File{
		Hostname: "pop.example.com",
		StateDir: "/var/lib/kpopd",
		Listeners: []config.Listener{
			listener("pop3", ":110", config.POP3, config.TLSStart),
			listener("pop3s", ":995", config.POP3, config.TLSImplicit),
			listener("kpop", ":1109", config.KPOP, config.TLSStart),
		},
		TLS: &config.TLS{
			Certificates: []config.Certificate{{CertFile: "/etc/kpopd/tls.crt", KeyFile: "/etc/tls.key"}},
			MinVersion:   tls.VersionTLS12,
		},
		Kerberos: &config.Kerberos{
			Keytab: "/etc/krb5.keytab", Service: "pop", ChannelBinding: config.BindAllow,
			SecurityLayers: []config.SecurityLayer{config.LayerNone, config.LayerIntegrity, config.LayerConfidentiality},
			MaxSkew:        5 * time.Minute,
			PAC:            config.PACIfValid,
		},
		Accounts: make([]config.Account, 1),
		Maildrop: config.Maildrop{Kind: "maildir", Root: "/srv/mail", UIDLChangeLimit: 20},
		Throttle: config.Throttle{Enabled: true, FailuresPerMinute: 20, Delay: time.Second, MaxDelay: 10 * time.Second},
		Limits:   config.Limits{Connections: 20000, ConnectionsPerAddress: 100, ConnectionsPerUser: 20, MemoryBeforeLogin: 64 << 20},
		Log:      config.Log{Format: "text"},
		Read:     []string{"/etc/kpopd/test.hcl"},
	}
	if diff := cmp.Diff(want, f, ignorePlaces); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDefaultListenersWithoutKerberos(t *testing.T) {
	f := mustParse(t, `
hostname = "pop.example.com"
tls {
  certificate {
    cert_file = "tls.crt"
    key_file  = "tls.key"
  }
}
maildrop "maildir" {
  path = "/srv/mail/${maildrop}"
}
`)
	if len(f.Listeners) != 2 {
		t.Errorf("listeners: %+v", f.Listeners)
	}
}

func TestEverything(t *testing.T) {
	f, diags := config.Load("testdata/full.hcl")
	if len(diags) > 0 {
		t.Fatalf("diagnostics:\n%v", diags)
	}
	prefixes := func(s ...string) (p []netip.Prefix) {
		for _, x := range s {
			p = append(p, netip.MustParsePrefix(x))
		}
		return p
	}
	wantListener := config.Listener{
		Name: "pop3", Address: config.Address{Network: "tcp", Addr: ":110"}, Protocol: config.POP3, TLS: config.TLSStart,
		LoginWithoutTLS: config.ClearNone, Mechanisms: []string{"GSSAPI"},
		AllowFrom:         prefixes("192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"),
		ProxyProtocolFrom: prefixes("192.0.2.1/32"),
		LoginTimeout:      30 * time.Second, Autologout: 90 * time.Minute, Language: "ja", UTF8Messages: config.UTF8Refuse, SDPS: true, SDPSSeparators: "+%",
	}
	if diff := cmp.Diff(wantListener, f.Listeners[0], ignorePlaces); diff != "" {
		t.Errorf("listener: -want +got:\n%s", diff)
	}
	if a := f.Listeners[4].Address; a.Network != "unix" || a.Addr != "/run/kpopd/admin.sock" || f.Listeners[4].TLS != config.TLSOff {
		t.Errorf("admin listener: %+v", f.Listeners[4])
	}
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	if got := f.TLS.Certificates[1].CertFile; got != filepath.Join(dir, "other.crt") {
		t.Errorf("relative path: %s", got)
	}
	if f.TLS.MinVersion != tls.VersionTLS13 || f.Kerberos.MaxSkew != 2*time.Minute || f.Kerberos.ChannelBinding != config.BindNone ||
		f.Kerberos.PAC != config.PACRequire || len(f.Kerberos.DomainSIDs) != 1 {
		t.Errorf("tls %+v, kerberos %+v", f.TLS, f.Kerberos)
	}
	wantLDAP := &config.LDAP{
		URLs: []string{"ldaps://dc1.corp.example", "ldaps://dc2.corp.example"}, CAFile: "/etc/kpopd/ca.pem",
		BindDN: "cn=kpopd,ou=services,dc=corp,dc=example", BindPasswordFile: "/etc/kpopd/ldap.secret",
		BaseDN: "ou=people,dc=corp,dc=example", Attributes: []string{"mailbox", "memberOf"},
		Filter: &config.Expression{}, LookupFilter: &config.Expression{},
		StartTLS: true, Timeout: 5 * time.Second, PoolSize: 8, Cache: 30 * time.Second, CacheNegative: time.Minute,
		LockoutThreshold: 10, SCRAMIterations: 16384, LockoutWindow: 15 * time.Minute,
	}
	if diff := cmp.Diff(wantLDAP, f.Authenticators[1].LDAP, ignorePlaces); diff != "" {
		t.Errorf("ldap: -want +got:\n%s", diff)
	}
	wantLog := config.Log{Level: slog.LevelDebug, Format: "json", File: "/var/log/kpopd/kpopd.log"}
	if diff := cmp.Diff(wantLog, f.Log, ignorePlaces); diff != "" {
		t.Errorf("log: -want +got:\n%s", diff)
	}
	if f.Throttle.Enabled || f.Throttle.FailuresPerMinute != 30 || f.Throttle.MaxDelay != 5*time.Second || f.Limits.Connections != 500 || f.Limits.MemoryBeforeLogin != 2<<30 || f.Audit.File != "/var/log/kpopd/audit.log" {
		t.Errorf("throttle %+v, limits %+v, audit %+v", f.Throttle, f.Limits, f.Audit)
	}
}

func writeFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDirectory(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"20-host.hcl":   "hostname = file(\"name.txt\")\naccount {\n maildrop = \"second\"\n}\n",
		"10-base.hcl":   minimal[strings.Index(minimal, "listener"):] + "account {\n maildrop = \"first\"\n}\n",
		".hidden.hcl":   "nonsense",
		"30-old.hcl~":   "nonsense",
		"name.txt":      "pop.example.org\n",
		"40-readme.txt": "nonsense",
	})
	if err := os.Mkdir(filepath.Join(dir, "sub.hcl"), 0o700); err != nil {
		t.Fatal(err)
	}
	f, diags := config.Load(dir)
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	if f.Hostname != "pop.example.org" {
		t.Errorf("hostname %q", f.Hostname)
	}
	name, err := f.Accounts[0].MaildropName(config.Facts{})
	if err != nil || name != "first" {
		t.Errorf("the first account is %q, %v", name, err)
	}
	want := []string{filepath.Join(dir, "10-base.hcl"), filepath.Join(dir, "20-host.hcl"), filepath.Join(dir, "name.txt")}
	if !slices.Equal(f.Read, want) {
		t.Errorf("read %q, want %q", f.Read, want)
	}
}

func TestDirectoryDuplicates(t *testing.T) {
	dir := writeFiles(t, map[string]string{"a.hcl": minimal, "b.hcl": "hostname = \"b\"\nlog {\n}\nmaildrop \"maildir\" {\n}\n"})
	_, diags := config.Load(dir)
	if len(diags) != 2 {
		t.Fatalf("diagnostics:\n%v", diags)
	}
	for i, line := range []int{1, 4} {
		p := diags[i]
		if p.Range.Filename != filepath.Join(dir, "b.hcl") || p.Range.Start.Line != line || !strings.Contains(p.Detail, "a.hcl:") {
			t.Errorf("problem %d: %v", i, p)
		}
	}
}

func TestUnreadable(t *testing.T) {
	dir := writeFiles(t, map[string]string{"big.hcl": strings.Repeat("#\n", 1<<20)})
	empty := t.TempDir()
	for _, path := range []string{filepath.Join(dir, "missing.hcl"), filepath.Join(dir, "big.hcl"), empty, "/dev/null"} {
		f, diags := config.Load(path)
		if f != nil || !diags.HasErrors() || diags.Err() == nil || !strings.Contains(diags.Error(), path) {
			t.Errorf("%s: %v", path, diags)
		}
	}
	if f, diags := config.Parse("x", make([]byte, 2<<20)); f != nil || !diags.HasErrors() {
		t.Errorf("2 MiB: %v", diags)
	}
}

// The same mistakes are reported in the same order each time.
func TestOrder(t *testing.T) {
	_, first := config.Load("testdata/values.hcl")
	if !slices.IsSortedFunc(first, func(a, b *config.Problem) int { return a.Range.Start.Line - b.Range.Start.Line }) {
		t.Errorf("not sorted:\n%v", first)
	}
	for range 20 {
		if _, again := config.Load("testdata/values.hcl"); again.Error() != first.Error() {
			t.Fatalf("another order:\n%v\nthan\n%v", again, first)
		}
	}
}

func TestWarningsOnly(t *testing.T) {
	text := strings.Replace(minimal, "127.0.0.1:110", ":110", 1)
	text = strings.Replace(text, `tls      = "off"`, "tls = \"off\"\nlogin_without_tls = \"any\"", 1)
	f, diags := config.Parse("test.hcl", []byte(text))
	if f == nil || len(diags) != 1 || !diags[0].Warning || diags.HasErrors() || diags.Err() != nil {
		t.Errorf("%v", diags)
	}
}

// Problems that are found later are shown like those found here.
func TestLaterProblems(t *testing.T) {
	f := mustParse(t, minimal)
	err := errors.Join(
		f.Errorf(f.Listeners[0].At("address"), "The address cannot be bound: %v", io.ErrUnexpectedEOF),
		f.Errorf(f.Listeners[0].At("autologout"), "No place of its own"),
		errors.New("something without a place"))
	diags := append(config.DiagnosticsOf(err), f.Warnf(f.At("hostname"), "Doubtful"))
	var b strings.Builder
	if err := diags.WriteText(&b, 0, true); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[31mError\x1b[0m: something without a place\n\n" +
		"\x1b[31mError\x1b[0m: No place of its own\n\n" +
		"  on /etc/kpopd/test.hcl line 3, in listener \"pop3\":\n   3: \x1b[1;4mlistener \"pop3\"\x1b[0m {\n\n" +
		"\x1b[31mError\x1b[0m: The address cannot be bound: unexpected EOF\n\n" +
		"  on /etc/kpopd/test.hcl line 4, in listener \"pop3\":\n   4:   address  = \x1b[1;4m\"127.0.0.1:110\"\x1b[0m\n\n" +
		"\x1b[33mWarning\x1b[0m: Doubtful\n\n" +
		"  on /etc/kpopd/test.hcl line 2:\n   2: hostname = \x1b[1;4m\"pop.example.com\"\x1b[0m\n\n"
	if b.String() != want {
		t.Errorf("got %q\nwant %q", b.String(), want)
	}
	if config.DiagnosticsOf(nil) != nil {
		t.Error("nil is a problem")
	}
}

func TestAddresses(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		ok   bool
	}{
		{":110", ":110", false},
		{":110", "0.0.0.0:110", false},
		{"[::]:110", "192.0.2.1:110", false},
		{"192.0.2.1:110", "192.0.2.2:110", true},
		{":110", ":111", true},
		{"127.0.0.1:0", "127.0.0.1:0", true},
		{"unix:/run/a", "unix:/run/../run/a", false},
		{"unix:/run/a", "unix:/run/b", true},
		{"localhost:110", "unix:/110", true},
		{"110", ":1", false},
		{":65536", ":1", false},
		{":0110", ":1", false},
		{"[fe80::1:110", ":1", false},
		{"bad_host:110", ":1", false},
	} {
		text := minimal + "listener \"b\" {\n address = \"" + tc.b + "\"\n protocol = \"pop3\"\n tls = \"off\"\n}\n"
		text = strings.Replace(text, "127.0.0.1:110", tc.a, 1)
		if _, diags := config.Parse("x.hcl", []byte(text)); diags.HasErrors() == tc.ok {
			t.Errorf("%s and %s: %v", tc.a, tc.b, diags)
		}
	}
	for addr, local := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "unix:/x": true, "localhost:1": true, ":1": false, "0.0.0.0:1": false, "192.0.2.1:1": false} {
		f := mustParse(t, strings.Replace(minimal, "127.0.0.1:110", addr, 1))
		if a := f.Listeners[0].Address; a.Local() != local || a.String() != addr {
			t.Errorf("%s: Local is %t, String %q", addr, a.Local(), a)
		}
	}
}

// Nothing of these sizes may take the parser long, or overflow its stack.
func TestHugeFiles(t *testing.T) {
	const size = 64 << 10
	rep := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, text := range map[string]string{
		"brackets":  "a = " + rep("["),
		"braces":    rep("a {\n"),
		"templates": `a = "` + rep(`${"`),
		"not":       "a = " + rep("!"),
		"plus":      "a = 1" + rep("+1"),
		"heredoc":   rep("a = <<E\n"),
		"escapes":   `a = "` + rep("$${") + "\"\n",
		"index":     "hostname = env(\"HOME\")" + rep("[0]"),
		"calls":     rep("password = f(\n"),
		"blocks":    rep("listener \"a\" {\n}\n"),
		"keys":      rep("key=") + "(",
		"garbage":   rep("\x00\xff"),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, diags := config.Parse("huge.hcl", []byte(text))
			if !diags.HasErrors() || len(diags) > 100 {
				t.Fatalf("%d diagnostics", len(diags))
			}
			var b strings.Builder
			if err := diags.WriteText(&b, 80, false); err != nil || b.Len() > 1<<20 {
				t.Errorf("%d octets of text, %v", b.Len(), err)
			}
			// Seconds when it is quadratic; a bound for slow machines.
			if d := time.Since(start); d > time.Minute {
				t.Errorf("took %v", d)
			}
		})
	}
}
