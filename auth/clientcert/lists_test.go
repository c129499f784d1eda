package clientcert_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kpopd/auth/clientcert"
	"kpopd/testenv"
)

func critical(id ...int) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier(id), Critical: true, Value: []byte{5, 0}}
}

func TestRevocation(t *testing.T) {
	root, twin := newCA(t), newCA(t)
	middle := below(t, root, "middle")
	alice := issue(t, middle, testenv.Client{CN: "alice"})
	bob := issue(t, root, testenv.Client{CN: "bob"})
	rootEmpty, middleEmpty := crl(t, root, testenv.Revoked{}), crl(t, middle, testenv.Revoked{})
	ago, soon := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
	block, _ := pem.Decode(middleEmpty)
	for _, c := range []struct {
		name   string
		shown  testenv.Certificate
		reason string
		files  [][]byte
	}{
		{"none revoked", alice, "", [][]byte{rootEmpty, middleEmpty}},
		{"in one file", alice, "", [][]byte{append(rootEmpty[:len(rootEmpty):len(rootEmpty)], middleEmpty...)}},
		{"in DER", alice, "", [][]byte{rootEmpty, block.Bytes}},
		{"revoked", alice, "certificate-revoked", [][]byte{rootEmpty, crl(t, middle, testenv.Revoked{Certs: [][]byte{bob.Cert, alice.Cert}})}},
		{"another revoked", alice, "", [][]byte{rootEmpty, crl(t, middle, testenv.Revoked{Certs: [][]byte{bob.Cert}})}},
		{"by another authority", bob, "", [][]byte{rootEmpty, crl(t, middle, testenv.Revoked{Certs: [][]byte{bob.Cert}})}},
		{"its authority revoked", alice, "certificate-revoked", [][]byte{crl(t, root, testenv.Revoked{Certs: [][]byte{middle.PEM}}), middleEmpty}},
		{"no list of the root", alice, "crl-missing", [][]byte{middleEmpty}},
		{"no list of the issuer", alice, "crl-missing", [][]byte{rootEmpty}},
		{"signed by another", alice, "crl-missing", [][]byte{rootEmpty, crl(t, below(t, twin, "middle"), testenv.Revoked{})}},
		{"ended", alice, "crl-stale", [][]byte{rootEmpty, crl(t, middle, testenv.Revoked{Until: ago})}},
		{"ended, revoked", alice, "certificate-revoked", [][]byte{rootEmpty, crl(t, middle, testenv.Revoked{Until: ago, Certs: [][]byte{alice.Cert}})}},
		{"the root's ended", alice, "crl-stale", [][]byte{crl(t, root, testenv.Revoked{Until: ago}), middleEmpty}},
		{"a clock ahead", alice, "", [][]byte{rootEmpty, crl(t, middle, testenv.Revoked{From: soon})}},
		{"of the future", alice, "crl-missing", [][]byte{rootEmpty, crl(t, middle, testenv.Revoked{From: time.Now().Add(time.Hour)})}},
		{"a newer one", alice, "", [][]byte{rootEmpty, middleEmpty, crl(t, middle, testenv.Revoked{From: time.Now().Add(-2 * time.Hour), Certs: [][]byte{alice.Cert}})}},
		{"an older one", alice, "certificate-revoked", [][]byte{rootEmpty, middleEmpty, crl(t, middle, testenv.Revoked{From: ago, Certs: [][]byte{alice.Cert}})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var files []string
			for _, text := range c.files {
				files = append(files, write(t, "", text))
			}
			a := load(t, files, root.PEM)
			for range 2 { // the second time from memory
				wants(t, a.Verify(c.shown.Chain(t), time.Now()), c.reason)
			}
			if stale := a.Stale(time.Now()); (len(stale) > 0) != (c.reason == "crl-stale" || strings.HasPrefix(c.name, "ended") || c.name == "of the future") {
				t.Errorf("stale: %q", stale)
			}
		})
	}
}

// TestListEnds: a list that was current when it was read is not for ever.
func TestListEnds(t *testing.T) {
	ca := newCA(t)
	alice := chain(t, ca, testenv.Client{CN: "alice"})
	a := load(t, []string{write(t, "", crl(t, ca, testenv.Revoked{Until: time.Now().Add(time.Hour)}))}, ca.PEM)
	wants(t, a.Verify(alice, time.Now().Add(59*time.Minute)), "")
	wants(t, a.Verify(alice, time.Now().Add(61*time.Minute)), "crl-stale")
}

func TestLoadLists(t *testing.T) {
	root, twin := newCA(t), newCA(t)
	good := crl(t, root, testenv.Revoked{})
	with := func(e ...pkix.Extension) []byte { return crl(t, root, testenv.Revoked{Extra: e}) }
	for _, c := range []struct {
		name, want string
		text       []byte
	}{
		{"empty", "no certificate revocation list", nil},
		{"no PEM", "no certificate revocation list", []byte("hello")},
		{"a certificate", `holds a "CERTIFICATE"`, root.PEM},
		{"a certificate besides", `holds a "CERTIFICATE"`, append(good, root.PEM...)},
		{"bad DER", "x509", []byte{0x30, 1, 2}},
		{"cut", "x509", pemDER(good)[:200]},
		{"delta", "critical extension", with(critical(2, 5, 29, 27))},
		{"for some certificates", "critical extension", with(critical(2, 5, 29, 28))},
		{"not signed by its issuer", "not signed", crl(t, twin, testenv.Revoked{})},
	} {
		a := load(t, nil, root.PEM)
		if err := a.LoadLists([]string{write(t, "", c.text)}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	a := load(t, nil, root.PEM)
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		if err := a.LoadLists([]string{path}, nil); err == nil {
			t.Errorf("%s is read", path)
		}
	}
}

func pemDER(text []byte) []byte {
	block, _ := pem.Decode(text)
	return block.Bytes
}

// TestListChanges: a file that changes is read again, one that is not usable
// any more changes nothing.
func TestListChanges(t *testing.T) {
	ca := newCA(t)
	alice := issue(t, ca, testenv.Client{CN: "alice"})
	path := write(t, "", crl(t, ca, testenv.Revoked{}))
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	shown, now := alice.Chain(t), time.Now()
	broken := write(t, "", []byte("not a list"))
	revoking := write(t, "", crl(t, ca, testenv.Revoked{From: now.Add(-time.Minute), Certs: [][]byte{alice.Cert}}))
	synctest.Test(t, func(t *testing.T) {
		a := load(t, []string{path}, ca.PEM)
		check := func(reason string) {
			t.Helper()
			time.Sleep(2 * time.Second) // beyond the second for which it is not looked at again
			wants(t, a.Verify(shown, now), reason)
		}
		check("")
		rename(t, broken, path)
		check("")
		rename(t, revoking, path)
		check("certificate-revoked")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		check("certificate-revoked")
	})
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// FuzzLists loads whatever is in a file of lists.
func FuzzLists(f *testing.F) {
	ca := newCA(f)
	alice := issue(f, ca, testenv.Client{CN: "alice"})
	revoking := crl(f, ca, testenv.Revoked{Certs: [][]byte{alice.Cert}})
	shown := alice.Chain(f)
	for _, seed := range [][]byte{revoking, pemDER(revoking), crl(f, ca, testenv.Revoked{Extra: []pkix.Extension{critical(2, 5, 29, 28)}}), {0x30, 0}, nil} {
		f.Add(seed)
	}
	cas := write(f, "", ca.PEM)
	path := filepath.Join(f.TempDir(), "list")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := clientcert.LoadAuthorities(cas)
		if err != nil {
			t.Fatal(err)
		}
		if a.LoadLists([]string{path}, nil) != nil {
			return
		}
		// Whatever else it says, what ca has signed is the list above.
		if err := a.Verify(shown, time.Now()); err == nil {
			t.Error("a list that ca has not signed lets alice in")
		}
		if err := a.Verify([]*x509.Certificate{shown[0]}, time.Now().Add(time.Hour)); err == nil {
			t.Error("and an hour later")
		}
	})
}
