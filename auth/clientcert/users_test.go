package clientcert_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"kpopd/auth"
	"kpopd/auth/clientcert"
	"kpopd/testenv"
)

var upnID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}

// sequence is a subjectAltName of these names in DER.
func sequence(names ...[]byte) []byte {
	der, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: bytes.Join(names, nil)})
	if err != nil {
		panic(err)
	}
	return der
}

// upnOf is a user principal name with a value of any tag.
func upnOf(tag byte, value string) []byte {
	return testenv.OtherName(upnID, append([]byte{tag, byte(len(value))}, value...))
}

// withCN has these values of CN, with these tags.
func withCN(names ...asn1.RawValue) testenv.Client {
	return edited(func(c *x509.Certificate) {
		var all pkix.RDNSequence
		for _, name := range names {
			all = append(all, pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: name}})
		}
		c.RawSubject, _ = asn1.Marshal(all)
	})
}

func value(tag int, text string) asn1.RawValue { return asn1.RawValue{Tag: tag, Bytes: []byte(text)} }

func TestUserFrom(t *testing.T) {
	ca := newCA(t)
	all := []string{clientcert.UPN, clientcert.Email, clientcert.CN}
	full := testenv.Client{CN: "Alice", Emails: []string{"alice@mail"}, UPNs: []string{"alice@corp"}}
	san := func(names ...[]byte) testenv.Client { return testenv.Client{CN: "cn", SAN: sequence(names...)} }
	const utf8String, ia5, bmp, t61 = asn1.TagUTF8String, asn1.TagIA5String, asn1.TagBMPString, asn1.TagT61String
	for _, c := range []struct {
		name         string
		from         []string
		client       testenv.Client
		user, reason string
	}{
		{"UPN first", all, full, "alice@corp", ""},
		{"email first", []string{"email", "upn"}, full, "alice@mail", ""},
		{"CN first", []string{"cn", "upn"}, full, "Alice", ""},
		{"email for want of a UPN", all, testenv.Client{CN: "Alice", Emails: []string{"alice@mail"}}, "alice@mail", ""},
		{"CN for want of others", all, testenv.Client{CN: "Alice"}, "Alice", ""},
		// Dovecot's CVE-2019-3814: nothing takes the place of a name that is not there.
		{"no UPN", []string{"upn"}, testenv.Client{CN: "Alice", Emails: []string{"alice@mail"}}, "", "certificate-without-user"},
		{"no email", []string{"email"}, testenv.Client{CN: "alice@mail", UPNs: []string{"alice@corp"}}, "", "certificate-without-user"},
		{"no CN", []string{"cn"}, testenv.Client{UPNs: []string{"alice@corp"}}, "", "certificate-without-user"},
		{"a host's names", []string{"upn", "email"}, san([]byte("\x82\x04host"), []byte("\x87\x04\x7f\x00\x00\x01")), "", "certificate-without-user"},
		{"the mail address of the subject", []string{"email"}, edited(func(c *x509.Certificate) {
			c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "alice@mail"}}
		}), "", "certificate-without-user"},
		{"two UPNs", all, testenv.Client{UPNs: []string{"alice@corp", "bob@corp"}}, "", "certificate-ambiguous-user"},
		{"two UPNs in two cases", all, testenv.Client{UPNs: []string{"alice@corp", "Alice@corp"}}, "", "certificate-ambiguous-user"},
		{"the same UPN twice", all, testenv.Client{UPNs: []string{"alice@corp", "alice@corp"}}, "alice@corp", ""},
		{"two mail addresses", []string{"email"}, testenv.Client{Emails: []string{"alice@mail", "root@mail"}}, "", "certificate-ambiguous-user"},
		{"two CNs", []string{"cn"}, withCN(value(utf8String, "alice"), value(utf8String, "root")), "", "certificate-ambiguous-user"},
		{"UTF-8", all, testenv.Client{UPNs: []string{"j\u00fcrgen@corp"}}, "j\u00fcrgen@corp", ""},
		{"a CN in UCS-2", []string{"cn"}, withCN(value(bmp, "\x00j\x00\xfcx\x85")), "j\u00fc\u7885", ""},
		{"a CN in T.61", []string{"cn"}, withCN(value(t61, "j\xfcrgen")), "j\u00fcrgen", ""},
		{"an empty CN", []string{"cn", "upn"}, withCN(value(utf8String, "")), "", "certificate-unacceptable-name"},
		{"an empty UPN", all, testenv.Client{CN: "x", UPNs: []string{""}}, "", "certificate-unacceptable-name"},
		{"a NUL in a UPN", all, testenv.Client{UPNs: []string{"root\x00@corp"}}, "", "certificate-unacceptable-name"},
		{"a NUL in a CN", []string{"cn"}, withCN(value(utf8String, "root\x00.evil")), "", "certificate-unacceptable-name"},
		{"a NUL in UCS-2", []string{"cn"}, withCN(value(bmp, "\x00a\x00\x00\x00b")), "", "certificate-unacceptable-name"},
		{"a NUL in a mail address", []string{"email"}, testenv.Client{Emails: []string{"root\x00@mail"}}, "", "certificate-unacceptable-name"},
		{"a line end", all, testenv.Client{UPNs: []string{"a\nb"}}, "", "certificate-unacceptable-name"},
		{"not normal", all, testenv.Client{UPNs: []string{"u\u0308"}}, "", "certificate-unacceptable-name"},
		{"full width", all, testenv.Client{UPNs: []string{"\uff41lice"}}, "", "certificate-unacceptable-name"},
		{"nothing to see", all, testenv.Client{UPNs: []string{"ali\u200bce"}}, "", "certificate-unacceptable-name"},
		{"the other direction", all, testenv.Client{UPNs: []string{"\u202eecila"}}, "", "certificate-unacceptable-name"},
		{"255 octets", all, testenv.Client{UPNs: []string{strings.Repeat("a", 255)}}, strings.Repeat("a", 255), ""},
		{"256 octets", all, testenv.Client{UPNs: []string{strings.Repeat("a", 256)}}, "", "certificate-unacceptable-name"},
		{"no UTF-8", all, san(upnOf(utf8String, "\xff\xfe")), "", "certificate-unacceptable-name"},
		{"a UPN of another type", all, san(upnOf(ia5, "alice@corp")), "", "certificate-malformed"},
		{"a UPN in UCS-2", all, san(upnOf(bmp, "\x00a")), "", "certificate-malformed"},
		{"a UPN in pieces", all, san(testenv.OtherName(upnID, []byte("\x2c\x03\x0c\x01a"))), "", "certificate-malformed"},
		{"a UPN and more", all, san(testenv.OtherName(upnID, []byte("\x0c\x01a\x0c\x01b"))), "", "certificate-malformed"},
		{"no otherName", all, san([]byte("\xa0\x03\x0c\x01a")), "", "certificate-malformed"},
		{"a good UPN before a bad one", all, san(upnOf(utf8String, "alice"), upnOf(ia5, "bob")), "", "certificate-malformed"},
		{"another otherName", all, san(testenv.OtherName(asn1.ObjectIdentifier{1, 2, 3}, []byte("\x0c\x01a"))), "cn", ""},
		{"many names", all, san(bytes.Repeat([]byte("\x82\x04host"), 2000), upnOf(utf8String, "alice")), "alice", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			users := &clientcert.Users{Source: "certificate test", From: c.from, Authorities: load(t, nil, ca.PEM)}
			shown := chain(t, ca, c.client)
			id, err := users.Authenticate(t.Context(), auth.Peer{}, auth.Certificate{Chain: shown})
			switch {
			case c.reason != "":
				if err == nil || auth.Reason(err) != c.reason || errors.Is(err, auth.ErrUnknown) != (c.reason == "certificate-without-user") {
					t.Errorf("user %q, error %v, want the reason %q", id.User, err, c.reason)
				}
			case err != nil || id.User != c.user:
				t.Errorf("user %q, error %v, want %q", id.User, err, c.user)
			}
		})
	}
}

// TestIdentity: what rules and logs see of a certificate.
func TestIdentity(t *testing.T) {
	ca := newCA(t)
	shown := chain(t, ca, edited(func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "Smith, Alice", Organization: []string{"A/S"}, Country: []string{"DK"}}
	}))
	users := &clientcert.Users{Source: "certificate test", From: []string{"cn"}, Authorities: load(t, nil, ca.PEM)}
	id, err := users.Authenticate(t.Context(), auth.Peer{}, auth.Certificate{Chain: shown})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"subject": `CN=Smith\, Alice,O=A/S,C=DK`, "issuer": "CN=kpopd test authority",
		"serial": hex.EncodeToString(shown[0].SerialNumber.Bytes()), "fingerprint": auth.Fingerprint(shown[0]),
	}
	want["serial"] = strings.TrimLeft(want["serial"], "0")
	for key, value := range want {
		if id.Attrs[key] != value {
			t.Errorf("%s is %q, want %q", key, id.Attrs[key], value)
		}
	}
	if len(id.Attrs) != len(want) || !id.Expires.Equal(shown[0].NotAfter) || id.Source != "certificate test" || id.User != "Smith, Alice" {
		t.Errorf("identity %+v", id)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := users.Authenticate(ctx, auth.Peer{}, auth.Certificate{Chain: shown}); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("after ctx ended: %v", err)
	}
	if _, err := users.Authenticate(t.Context(), auth.Peer{}, auth.Password{User: "alice", Secret: "x"}); !errors.Is(err, auth.ErrUnknown) {
		t.Errorf("a password: %v", err)
	}
}

// FuzzUPNs: what is read as a user principal name stands in the text with its
// length before it, and what this package writes is read as it was written.
func FuzzUPNs(f *testing.F) {
	for _, seed := range [][]byte{
		testenv.GeneralNames([]string{"a@b"}, []string{"alice@corp", "bob"}), sequence(upnOf(19, "a")), sequence([]byte("\xa0\x00")),
		sequence(testenv.OtherName(upnID, nil)), {0x30, 0x80, 0, 0}, nil,
	} {
		f.Add(seed, "alice")
	}
	f.Fuzz(func(t *testing.T, der []byte, name string) {
		all, err := clientcert.ParseUPNs(der)
		for _, upn := range all {
			if err != nil || !bytes.Contains(der, []byte(upn)) {
				t.Errorf("%q in %x: %v", upn, der, err)
			}
		}
		got, err := clientcert.ParseUPNs(testenv.GeneralNames([]string{"m@x"}, []string{name, "second"}))
		if utf8.ValidString(name) && (err != nil || !slices.Equal(got, []string{name, "second"})) {
			t.Errorf("%q is read as %q, %v", name, got, err)
		}
	})
}
