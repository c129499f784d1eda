package clientcert_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"kpopd/auth"
	"kpopd/auth/clientcert"
	"kpopd/testenv"
)

// wants checks the reason and the kind of a refusal; "": there must be none.
func wants(t *testing.T, err error, reason string) {
	t.Helper()
	switch {
	case reason == "" && err != nil:
		t.Errorf("refused: %v", err)
	case reason == "":
	case err == nil || auth.Reason(err) != reason:
		t.Errorf("error %v, want the reason %q", err, reason)
	default:
		unavailable := strings.HasPrefix(reason, "crl-")
		if errors.Is(err, auth.ErrUnavailable) != unavailable || errors.Is(err, auth.ErrCredentials) == unavailable {
			t.Errorf("error %v is of the wrong kind", err)
		}
	}
}

func edited(edit func(*x509.Certificate)) testenv.Client {
	return testenv.Client{CN: "alice", Edit: edit}
}

func TestVerify(t *testing.T) {
	root, other := newCA(t), newCA(t) // of the same name
	middle := below(t, root, "middle")
	pinned := below(t, other, "middle")
	a := load(t, nil, root.PEM)
	usage := func(all ...x509.ExtKeyUsage) testenv.Client {
		return edited(func(c *x509.Certificate) { c.ExtKeyUsage = all })
	}
	alice := testenv.Client{CN: "alice"}
	good := chain(t, middle, alice)
	for _, c := range []struct {
		name   string
		shown  []*x509.Certificate
		reason string
	}{
		{"nothing", nil, "no-certificate"},
		{"good", chain(t, root, alice), ""},
		{"by an intermediate", good, ""},
		{"with others besides", append(good[:2:2], chain(t, other, alice)...), ""},
		{"without its intermediate", good[:1], "certificate-untrusted"},
		{"by another of the same name", chain(t, other, alice), "certificate-untrusted"},
		{"by an intermediate of another", chain(t, pinned, alice), "certificate-untrusted"},
		{"by a client", append(chain(t, below(t, root, "x"), alice)[:1], chain(t, root, testenv.Client{CN: "x"})...), "certificate-untrusted"},
		{"too many", append(good[:1:1], repeat(good[1], 10)...), "certificate-chain-too-long"},
		{"expired", chain(t, root, edited(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })), "certificate-expired"},
		{"not yet valid", chain(t, root, edited(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })), "certificate-not-yet-valid"},
		{"for a server", chain(t, root, usage(x509.ExtKeyUsageServerAuth)), "certificate-wrong-usage"},
		{"for mail", chain(t, middle, usage(x509.ExtKeyUsageEmailProtection)), "certificate-wrong-usage"},
		{"for a client and mail", chain(t, middle, usage(x509.ExtKeyUsageEmailProtection, x509.ExtKeyUsageClientAuth)), ""},
		{"for whatever", chain(t, root, usage()), ""},
		{"not for signing", chain(t, root, edited(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })), "certificate-wrong-usage"},
		{"a critical UPN and no subject", chain(t, root, testenv.Client{UPNs: []string{"alice@corp"}}), ""},
		{"a critical name of another form", chain(t, root, testenv.Client{SAN: []byte{0x30, 3, 0x88, 1, 42}}), "certificate-invalid"},
		{"a critical extension", chain(t, root, edited(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, critical(1, 2, 3))
		})), "certificate-invalid"},
	} {
		t.Run(c.name, func(t *testing.T) { wants(t, a.Verify(c.shown, time.Now()), c.reason) })
	}
	t.Run("later", func(t *testing.T) { wants(t, a.Verify(good, time.Now().Add(48*time.Hour)), "certificate-expired") })
	t.Run("an intermediate alone is trusted", func(t *testing.T) {
		wants(t, load(t, nil, middle.PEM).Verify(good[:1], time.Now()), "")
		wants(t, load(t, nil, middle.PEM).Verify(chain(t, root, alice), time.Now()), "certificate-untrusted")
	})
	t.Run("an intermediate from the file", func(t *testing.T) {
		wants(t, load(t, nil, middle.PEM, root.PEM).Verify(good[:1], time.Now()), "")
	})
}

func repeat(cert *x509.Certificate, n int) (all []*x509.Certificate) {
	for range n {
		all = append(all, cert)
	}
	return all
}

func TestLoadAuthorities(t *testing.T) {
	ca := newCA(t)
	client := issue(t, ca, testenv.Client{CN: "alice"})
	for _, c := range []struct {
		name, want string
		text       []byte
	}{
		{"empty", "no PEM certificate", nil},
		{"no PEM", "no PEM certificate", []byte("hello")},
		{"a key", "PRIVATE KEY besides", append(ca.PEM, client.Key...)},
		{"no certificate", "x509", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1, 2, 3}})},
		{"large", "larger than 1024 KiB", make([]byte, 1<<20+1)},
	} {
		if _, err := clientcert.LoadAuthorities(write(t, "", c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := clientcert.LoadAuthorities(t.TempDir()); err == nil {
		t.Error("a directory is read")
	}
}
