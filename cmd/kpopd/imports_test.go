package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A listed package is what "go list -json" says of one.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string // of the package itself, not of its tests
}

// TestImports enforces who may import whom: "server" moves lines, "auth" says
// who, "maildrop" keeps what, and none of the three knows another but where
// the protocols join them. A backend knows no other backend, only cmd knows
// the configuration, and only tests know testenv.
func TestImports(t *testing.T) {
	packages := goList(t)
	if len(packages) < 10 {
		t.Fatalf("go list found only %d packages", len(packages))
	}
	for _, p := range packages {
		from := strings.TrimPrefix(p.ImportPath, "kpopd/")
		for _, to := range p.Imports {
			if own, ok := strings.CutPrefix(to, "kpopd/"); ok {
				if !mayImport(from, own) {
					t.Errorf("%s may not import %s", from, own)
				}
			} else if !mayUse(from, to) {
				t.Errorf("%s may not use %s", from, to)
			}
		}
	}
}

// mayImport says whether one of our packages may import another.
func mayImport(from, to string) bool {
	top, sub, _ := strings.Cut(from, "/")
	toTop, toSub, _ := strings.Cut(to, "/")
	switch {
	case top == "cmd":
		return toTop != "testenv"
	case top == "testenv":
		return toTop == "testenv"
	case top == "config":
		return false
	case top == "server" && sub != "":
		return slices.Contains([]string{"server", "auth", "maildrop"}, to)
	case top == "auth" && sub != "":
		return to == "auth"
	case from == "maildrop/storetest": // tests with the plainest backend
		return to == "maildrop" || to == "maildrop/memory"
	case top == "maildrop" && sub != "":
		// What several stores share is below maildrop; it is no backend.
		return toTop == "maildrop" && (toSub == "" || slices.Contains([]string{"durable", "index", "uidl"}, toSub))
	}
	return false // server, auth and maildrop themselves import nothing of ours
}

// third says which of our packages use a module, by the beginning of its
// import paths. A module stays behind one package where it can be, so that it
// can be replaced.
var third = []struct {
	prefix string
	users  []string
}{
	{"github.com/jcmturner/", []string{"auth/krb5"}},
	{"github.com/emersion/go-sasl", []string{"auth", "auth/authtest", "auth/scram"}},
	// go-jose is what go-oidc checks signatures with; doc.go of auth/oauth says
	// why not all of that.
	{"github.com/go-jose/go-jose/", []string{"auth/oauth", "testenv"}},
	{"github.com/xdg-go/stringprep", []string{"auth"}},
	{"golang.org/x/text/unicode/norm", []string{"auth"}},
	{"github.com/throttled/throttled/", []string{"auth"}},
	{"github.com/go-crypt/", []string{"auth/userfile"}},
	{"golang.org/x/sync/semaphore", []string{"auth/userfile"}},
	{"github.com/hashicorp/hcl/", []string{"config"}},
	{"github.com/zclconf/go-cty/", []string{"config"}},
	{"github.com/urfave/cli/", []string{"cmd/kpopd", "cmd/popbench"}},
	{"github.com/go-ldap/ldap/", []string{"auth/ldap", "testenv"}},
	{"github.com/go-asn1-ber/", []string{"auth/ldap"}},
	{"golang.org/x/crypto/cryptobyte", []string{"auth/krb5"}},
	{"golang.org/x/net/dns/dnsmessage", []string{"testenv"}},
	{"golang.org/x/sys/unix", []string{"auth/krb5", "maildrop/durable", "maildrop/index", "maildrop/lease", "maildrop/maildir", "maildrop/mbox", "maildrop/migrate", "maildrop/storetest", "maildrop/uidl", "server/audit", "testenv", "cmd/kpopd", "cmd/popbench", "cmd/popbench/procfs"}},
}

// mayUse says whether one of our packages may import from elsewhere: the
// standard library, or a module that is listed for it.
func mayUse(from, to string) bool {
	if first, _, _ := strings.Cut(to, "/"); !strings.Contains(first, ".") {
		return true
	}
	for _, m := range third {
		if strings.HasPrefix(to, m.prefix) {
			return slices.Contains(m.users, from)
		}
	}
	return false
}

func goList(t *testing.T) []listed {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "kpopd/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
