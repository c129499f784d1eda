package clientcert_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"kpopd/auth/clientcert"
	"kpopd/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newCA(t testing.TB) *testenv.CA {
	t.Helper()
	ca, err := testenv.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func below(t testing.TB, ca *testenv.CA, name string) *testenv.CA {
	t.Helper()
	ca, err := ca.Intermediate(name)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t testing.TB, ca *testenv.CA, c testenv.Client) testenv.Certificate {
	t.Helper()
	cert, err := ca.Issue(c)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func chain(t testing.TB, ca *testenv.CA, c testenv.Client) []*x509.Certificate {
	t.Helper()
	return issue(t, ca, c).Chain(t)
}

func crl(t testing.TB, ca *testenv.CA, r testenv.Revoked) []byte {
	t.Helper()
	text, err := ca.CRL(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// write writes a file of the test's own, or replaces it as a whole.
func write(t testing.TB, path string, parts ...[]byte) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "file")
	}
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	if err := os.WriteFile(path+".new", all, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// load returns the authorities in PEM texts, with files of lists.
func load(t testing.TB, lists []string, authorities ...[]byte) *clientcert.Authorities {
	t.Helper()
	a, err := clientcert.LoadAuthorities(write(t, "", authorities...))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.LoadLists(lists, nil); err != nil {
		t.Fatal(err)
	}
	return a
}
