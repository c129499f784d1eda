package krb5

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/pac"
	"github.com/jcmturner/gokrb5/v8/test/testdata"
	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

// pacTime is when alice logged in.
var pacTime = time.Now().Truncate(time.Second)

// A pacWorld accepts tickets with PACs.
type pacWorld struct {
	*Acceptor
	mint *Mint
	key  types.EncryptionKey
	log  bytes.Buffer
}

func newPACWorld(t testing.TB, mode PACMode) *pacWorld {
	t.Helper()
	w := &pacWorld{}
	w.Acceptor, w.mint = newTestAcceptor(t)
	w.PAC, w.Log = mode, slog.New(slog.NewTextHandler(&w.log, nil))
	w.useKey(t, 0)
	return w
}

// useKey signs with the service's key of an enctype, the newest for 0.
func (w *pacWorld) useKey(t testing.TB, etype int32) {
	t.Helper()
	k, err := w.mint.key(popService, etype)
	if err != nil {
		t.Fatal(err)
	}
	w.key = k.encryptionKey()
}

// accept accepts a ticket of a client with authorization data.
func (w *pacWorld) accept(t testing.TB, client Principal, data types.AuthorizationData) (auth.Identity, error) {
	t.Helper()
	ticket := issue(t, w.mint, client, popService, TicketOptions{Etype: w.key.KeyType, AuthTime: pacTime, AuthData: data})
	c, err := w.Accept(t.Context(), request(t, ticket, RequestOptions{}), testPeer)
	if err != nil {
		return auth.Identity{}, err
	}
	return c.Identity, nil
}

// try is accept of alice's with one PAC.
func (w *pacWorld) try(t testing.TB, raw []byte) (auth.Identity, error) {
	t.Helper()
	return w.accept(t, alice, pacData(t, raw))
}

func (w *pacWorld) signed(t testing.TB, parts ...pacPart) []byte {
	t.Helper()
	return signed(t, w.key, parts...)
}

func wantAttrs(t *testing.T, id auth.Identity, want map[string]string) {
	t.Helper()
	for _, name := range []string{attrSID, attrUPN, attrAccount} {
		got, ok := id.Attrs[name]
		if got != want[name] || ok != (want[name] != "") {
			t.Errorf("attribute %s is %q, want %q", name, got, want[name])
		}
	}
}

func TestPAC(t *testing.T) {
	w := newPACWorld(t, PACRequire)
	for _, etype := range defaultEtypes {
		if err := w.mint.AddKey(popService, uint32(etype), etype); err != nil {
			t.Fatal(err)
		}
		w.useKey(t, etype)
		id, err := w.try(t, w.signed(t, aliceLogon().part(), clientInfo("alice", pacTime),
			upnInfo("alice@corp.example", "alice", aliceSID), pacPart{pacRequestor, packSID(aliceSID)}, pacPart{17, []byte{2, 0, 0, 0, 1, 0, 0, 0}}))
		if err != nil || !slices.Equal(id.Groups, aliceGroups) || id.User != "alice" {
			t.Errorf("enctype %d: %+v, %v", etype, id, err)
		}
		wantAttrs(t, id, map[string]string{attrSID: string(aliceSID), attrUPN: "alice@corp.example", attrAccount: "alice"})
	}
}

// Kinds of PACs that are right, and what they say.
func TestPACKinds(t *testing.T) {
	w := newPACWorld(t, PACRequire)
	flagless := aliceLogon()
	flagless.flags = 0
	stranger := logon{user: 0, primary: 513, domain: homeDomain, flags: logonExtraSIDs, extra: []extraSID{{partnerDomain + "-5", 7}, {"S-1-18-1", 7}}}
	client := clientInfo("alice", pacTime)
	for _, test := range []struct {
		name   string
		parts  []pacPart
		sid    sid
		groups []string
	}{
		{"MIT's", []pacPart{client}, "", nil},
		{"no flags", []pacPart{client, flagless.part()}, aliceSID, aliceGroups[:2]},
		{"user outside its domain", []pacPart{client, stranger.part()}, partnerDomain + "-5", []string{string(homeDomain) + "-513", "S-1-18-1"}},
		{"names only", []pacPart{client, upnInfo("alice@x", "", aliceSID)}, aliceSID, nil},
		{"requestor only", []pacPart{client, {pacRequestor, packSID(aliceSID)}}, aliceSID, nil},
		{"unknown types", []pacPart{client, {13, nil}, {14, []byte{1}}, {0xffffffff, []byte("x")}}, "", nil},
		{"with the realm", []pacPart{clientInfo("alice@EXAMPLE.TEST", pacTime)}, "", nil},
	} {
		id, err := w.try(t, w.signed(t, test.parts...))
		if err != nil || id.Attrs["sid"] != string(test.sid) || !slices.Equal(id.Groups, test.groups) {
			t.Errorf("%s: %+v, %v", test.name, id, err)
		}
	}
}

// The name in a PAC as KDCs write it.
func TestPACClientName(t *testing.T) {
	for _, test := range []struct{ principal, name, reason string }{
		{"alice/admin@EXAMPLE.TEST", "alice/admin", ""},
		{`alice\@corp.example@EXAMPLE.TEST`, "alice@corp.example", ""},
		{`alice\@corp.example@EXAMPLE.TEST`, `alice\@corp.example`, ""},
		{"alice@EXAMPLE.TEST", "bob", "pac-mismatch"},
		{"alice@EXAMPLE.TEST", "Alice", "pac-mismatch"},
		{"alice@EXAMPLE.TEST", "alice$", "pac-mismatch"},
		{"alice@EXAMPLE.TEST", "alice@PARTNER.TEST", "pac-mismatch"},
		{"alice@EXAMPLE.TEST", "", "pac-mismatch"},
		{"alice@EXAMPLE.TEST", "@EXAMPLE.TEST", "pac-mismatch"},
	} {
		w := newPACWorld(t, PACRequire)
		_, err := w.accept(t, principal(test.principal), pacData(t, w.signed(t, clientInfo(test.name, pacTime))))
		wantReason(t, test.principal+" as "+test.name, err, test.reason)
	}
}

// A ticket by a name that its account only calls itself is not used as the
// name's, whatever the mode.
func TestPACAccount(t *testing.T) {
	for _, test := range []struct{ principal, account, upn, reason string }{
		{"alice@EXAMPLE.TEST", "Alice", "", ""},
		{"alice@EXAMPLE.TEST", "a.able", "alice@corp.example", ""},
		{`alice\@corp.example@EXAMPLE.TEST`, "a.able", "alice@corp.example", ""},
		{"alice@EXAMPLE.TEST", "", "x@corp.example", ""},
		{"alice@EXAMPLE.TEST", "mallory", "alice", "pac-mismatch"},
		{"alice@EXAMPLE.TEST", "mallory", "mallory@corp.example", "pac-mismatch"},
		{"alice@EXAMPLE.TEST", "mallory", "", "pac-mismatch"},
	} {
		for _, mode := range []PACMode{PACRequire, PACIfValid} {
			w, client := newPACWorld(t, mode), principal(test.principal)
			logon := aliceLogon()
			logon.account = test.account
			parts := []pacPart{clientInfo(strings.Join(client.Components, "/"), pacTime), logon.part()}
			if test.upn != "" {
				parts = append(parts, upnInfo(test.upn, test.account, aliceSID))
			}
			_, err := w.accept(t, client, pacData(t, w.signed(t, parts...)))
			wantReason(t, test.account+" as "+test.principal, err, test.reason)
		}
	}
}

// PACs that are not right: refused where one is required, else not used.
func TestPACRefused(t *testing.T) {
	require, ifValid, ignore := newPACWorld(t, PACRequire), newPACWorld(t, PACIfValid), newPACWorld(t, PACIgnore)
	client := clientInfo("alice", pacTime)
	good := func(w *pacWorld, more ...pacPart) []byte {
		return w.signed(t, append(more, aliceLogon().part(), client)...)
	}
	flipped := func(i int) func(*pacWorld) types.AuthorizationData {
		return func(w *pacWorld) types.AuthorizationData {
			raw := good(w)
			raw[(len(raw)+i)%len(raw)] ^= 1
			return pacData(t, raw)
		}
	}
	of := func(make func(w *pacWorld) []byte) func(*pacWorld) types.AuthorizationData {
		return func(w *pacWorld) types.AuthorizationData { return pacData(t, make(w)) }
	}
	signature := func(sumType int32, size int, behind ...byte) func(*pacWorld) types.AuthorizationData {
		return of(func(w *pacWorld) []byte {
			return signPAC(t, w.key, buildPAC(client, signaturePart(pacServerChecksum, sumType, size, behind...), signaturePart(pacKDCChecksum, 16, 12, behind...)))
		})
	}
	for _, test := range []struct {
		name, reason string
		data         func(*pacWorld) types.AuthorizationData
	}{
		{"none", "pac-missing", func(*pacWorld) types.AuthorizationData { return nil }},
		{"in the open", "pac-missing", func(w *pacWorld) types.AuthorizationData {
			return types.AuthorizationData{{ADType: 128, ADData: good(w)}}
		}},
		{"empty", "pac-malformed", of(func(*pacWorld) []byte { return nil })},
		{"two", "pac-malformed", func(w *pacWorld) types.AuthorizationData { return pacData(t, good(w), good(w)) }},
		{"two apart", "pac-malformed", func(w *pacWorld) types.AuthorizationData {
			return append(pacData(t, good(w)), pacData(t, []byte("x"))...)
		}},
		{"a version", "pac-malformed", flippedAt(t, good, 4)},
		{"an overlap", "pac-malformed", of(func(w *pacWorld) []byte {
			raw := good(w)
			copy(raw[16:24], raw[32:40]) // the offset of the second
			return raw
		})},
		{"of alice's, of bob's key", "pac-signature", of(func(*pacWorld) []byte { return good(newPACWorld(t, PACRequire)) })},
		{"a group's number", "pac-signature", flippedAt(t, good, 400)},
		{"the signature", "pac-signature", flipped(-40)},
		{"HMAC-MD5", "pac-signature", signature(-138, 16)},
		{"another enctype's checksum", "pac-signature", signature(15, 12)},
		{"a short signature", "pac-signature", signature(16, 4)},
		{"no KDC's signature", "pac-signature", of(func(w *pacWorld) []byte {
			return signPAC(t, w.key, buildPAC(client, signaturePart(pacServerChecksum, 16, 12)))
		})},
		{"no client", "pac-malformed", of(func(w *pacWorld) []byte { return w.signed(t, aliceLogon().part()) })},
		{"another time", "pac-mismatch", of(func(w *pacWorld) []byte { return w.signed(t, clientInfo("alice", pacTime.Add(time.Second))) })},
		{"bob's", "pac-mismatch", of(func(w *pacWorld) []byte { return w.signed(t, clientInfo("bob", pacTime)) })},
		{"bob's request", "pac-mismatch", of(func(w *pacWorld) []byte { return good(w, pacPart{pacRequestor, packSID(homeDomain + "-1000")}) })},
		{"bob's SID beside the name", "pac-mismatch", of(func(w *pacWorld) []byte { return good(w, upnInfo("alice@x", "alice", homeDomain+"-1000")) })},
		{"half a requestor", "pac-malformed", of(func(w *pacWorld) []byte { return good(w, pacPart{pacRequestor, packSID(aliceSID)[:20]}) })},
		{"half a logon", "pac-malformed", of(func(w *pacWorld) []byte {
			return w.signed(t, client, pacPart{pacLogonInfo, aliceLogon().part().data[:240]})
		})},
		{"a name beyond its buffer", "pac-malformed", of(func(w *pacWorld) []byte {
			return good(w, pacPart{pacUPNInfo, []byte{2, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}})
		})},
		{"a name with a line end", "pac-malformed", of(func(w *pacWorld) []byte { return good(w, upnInfo("a\r\nb", "", "")) })},
		{"half a character", "pac-malformed", of(func(w *pacWorld) []byte {
			return good(w, pacPart{pacUPNInfo, []byte{2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x3d, 0xd8}})
		})},
	} {
		_, err := require.accept(t, alice, test.data(require))
		wantReason(t, test.name, err, test.reason)
		ifValid.log.Reset()
		id, err := ifValid.accept(t, alice, test.data(ifValid))
		if err != nil || id.User != "alice" || len(id.Groups) != 0 {
			t.Errorf("%s, if valid: %+v, %v", test.name, id, err)
		}
		wantAttrs(t, id, nil)
		if told := strings.Contains(ifValid.log.String(), "reason="+test.reason); told != (test.reason != "pac-missing") {
			t.Errorf("%s: log %q", test.name, &ifValid.log)
		}
		if _, err := ignore.accept(t, alice, test.data(ignore)); err != nil {
			t.Errorf("%s, ignored: %v", test.name, err)
		}
	}
}

func flippedAt(t *testing.T, good func(*pacWorld, ...pacPart) []byte, i int) func(*pacWorld) types.AuthorizationData {
	return func(w *pacWorld) types.AuthorizationData {
		raw := good(w)
		raw[i] ^= 1
		return pacData(t, raw)
	}
}

// A read-only domain controller's number behind the signatures, and what else
// may stand beside a PAC.
func TestPACBeside(t *testing.T) {
	w := newPACWorld(t, PACRequire)
	client := clientInfo("alice", pacTime)
	raw := signPAC(t, w.key, buildPAC(client, signaturePart(pacServerChecksum, 16, 12, 0, 0), signaturePart(pacKDCChecksum, -138, 16, 0, 0)))
	if _, err := w.try(t, raw); err != nil {
		t.Errorf("a number behind the signatures: %v", err)
	}
	for _, junk := range []string{"", "\x30\x00", "\x30\x84\xff\xff\xff\xff", "x", strings.Repeat("\x30\x80", 1000)} {
		data := append(types.AuthorizationData{{ADType: 1, ADData: []byte(junk)}}, pacData(t, w.signed(t, client))...)
		if _, err := w.accept(t, alice, data); err != nil {
			t.Errorf("behind %.20q: %v", junk, err)
		}
	}
	inner, err := asn1.Marshal(types.AuthorizationData{{ADType: 5, ADData: []byte("x")}, {ADType: 128, ADData: w.signed(t, client)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.accept(t, alice, types.AuthorizationData{{ADType: 1, ADData: inner}}); err != nil {
		t.Errorf("as the second element: %v", err)
	}
}

// What another realm's KDC may say of its clients.
func TestPACForeign(t *testing.T) {
	carol := principal("carol@" + otherRealm)
	theirs := aliceLogon()
	theirs.domain = partnerDomain
	theirs.extra = append(theirs.extra, extraSID{"S-1-5-32-544", 7}, extraSID{homeDomain + "-512", 7})
	ours := aliceLogon()
	nobody := theirs
	nobody.user, nobody.extra = 0, []extraSID{{"S-1-5-18", 7}}
	client := clientInfo("carol", pacTime)
	own := []string{string(homeDomain)}
	for _, test := range []struct {
		name   string
		own    []string
		parts  []pacPart
		reason string
		sid    string
		groups []string
	}{
		{"theirs", own, []pacPart{client, theirs.part(), upnInfo("ceo@example.test", "carol", "")}, "",
			string(partnerDomain) + "-1104", []string{string(partnerDomain) + "-513", string(partnerDomain) + "-1105", string(partnerDomain) + "-1200"}},
		{"ours", own, []pacPart{client, ours.part()}, "pac-mismatch", "", nil},
		{"the system", own, []pacPart{client, nobody.part()}, "pac-mismatch", "", nil},
		{"ours in the names", own, []pacPart{client, upnInfo("carol@x", "carol", aliceSID)}, "pac-mismatch", "", nil},
		{"MIT's", own, []pacPart{client}, "", "", nil},
		{"MIT's, ours not known", nil, []pacPart{client}, "", "", nil},
		{"ours not known", nil, []pacPart{client, theirs.part()}, "pac-foreign", "", nil},
	} {
		for _, mode := range []PACMode{PACRequire, PACIfValid} {
			w := newPACWorld(t, mode)
			w.Realms, w.DomainSIDs = []string{testRealm, otherRealm}, test.own
			id, err := w.accept(t, carol, pacData(t, w.signed(t, test.parts...)))
			if mode == PACRequire {
				wantReason(t, test.name, err, test.reason)
			} else if err != nil {
				t.Errorf("%s, if valid: %v", test.name, err)
			}
			if !slices.Equal(id.Groups, test.groups) {
				t.Errorf("%s: groups %q", test.name, id.Groups)
			}
			wantAttrs(t, id, map[string]string{attrSID: test.sid})
		}
	}
}

// A PAC of a real Active Directory, with the key that it was signed with.
func TestPACActiveDirectory(t *testing.T) {
	raw, err := hex.DecodeString(testdata.MarshaledPAC_AD_WIN2K_PAC)
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(testdata.KEYTAB_SYSHTTP_TEST_GOKRB5)
	if err != nil {
		t.Fatal(err)
	}
	kt := keytab.New()
	if err := kt.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	key, _, err := kt.GetEncryptionKey(types.PrincipalName{NameString: []string{"sysHTTP"}}, "TEST.GOKRB5", 2, 18)
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePACType(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.verify(key); err != nil {
		t.Error(err)
	}
	for i := range raw {
		raw[i] ^= 0x10
		if q, err := parsePACType(raw); err == nil && q.verify(key) == nil && !p.unsigned(i) {
			t.Errorf("octet %d may be anything", i)
		}
		raw[i] ^= 0x10
	}
	r, _ := p.reader(pacClientInfo)
	if err := p.checkClient(principal("testuser1@TEST.GOKRB5"), time.Unix(fileTime(r.u64()), 0)); err != nil {
		t.Error(err)
	}
	info, err := p.info()
	if err != nil || info.account != "testuser1" || info.upn != "testuser1@test.gokrb5" {
		t.Errorf("%+v, %v", info, err)
	}
	const domain = "S-1-5-21-3167651404-3865080224-2280184895"
	want := []sid{"513", "1108", "1109", "1115", "1116"}
	for i, rid := range want {
		want[i] = domain + "-" + rid
	}
	if info.user != domain+"-1105" || len(info.groups) < len(want) || !slices.Equal(info.groups[:len(want)], want) {
		t.Errorf("user %s, groups %q", info.user, info.groups)
	}
}

// unsigned reports whether octet i is the KDC's signature, which nobody here
// can check.
func (p *pacType) unsigned(i int) bool {
	b, ok := p.find(pacKDCChecksum)
	return ok && i >= b.start+4 && i < b.end
}

// Logon information of real domain controllers, the example of [MS-PAC] §3 and
// a user of a trusted domain with groups of the resource domain, beside what
// another reader makes of them. In these all groups are enabled, and the
// primary one is among them.
func TestLogonInfoVectors(t *testing.T) {
	for _, test := range []struct {
		hex, account string
		user         sid
		groups       int
	}{
		{testdata.MarshaledPAC_Kerb_Validation_Info_MS, "lzhu", "S-1-5-21-397955417-626881126-188441444-2914711", 39},
		{testdata.MarshaledPAC_Kerb_Validation_Info, "testuser1", "S-1-5-21-3167651404-3865080224-2280184895-1105", 7},
		{testdata.MarshaledPAC_Kerb_Validation_Info_Trust, "testuser1", "S-1-5-21-2284869408-3503417140-1141177250-1106", 6},
	} {
		b, err := hex.DecodeString(test.hex)
		if err != nil {
			t.Fatal(err)
		}
		info, err := parseLogonInfo(b)
		if err != nil || info.account != test.account || info.user != test.user || len(info.groups) != test.groups {
			t.Errorf("%+v, %v", info, err)
		}
		var other pac.KerbValidationInfo
		if err := other.Unmarshal(b); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, g := range info.groups {
			got = append(got, string(g))
		}
		if want := other.GetGroupMembershipSIDs(); !slices.Equal(got, want) {
			t.Errorf("groups of %s: %q, want %q", info.account, got, want)
		}
	}
}

func TestParsePACMode(t *testing.T) {
	for name, want := range map[string]PACMode{"ignore": PACIgnore, "use-if-valid": PACIfValid, "require": PACRequire} {
		if got, err := ParsePACMode(name); got != want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ParsePACMode("Require"); err == nil {
		t.Error("a mode that there is not")
	}
}

func TestSIDIsDomain(t *testing.T) {
	for s, want := range map[sid]bool{homeDomain: true, "": false, aliceSID: false, "S-1-5-21-1-2": false, "S-1-5-32-1-2-3": false} {
		if got := s.isDomain(); got != want {
			t.Errorf("%q: %t", s, got)
		}
	}
}

func TestSIDText(t *testing.T) {
	for _, test := range []struct{ packed, want string }{
		{"010100000000000512000000", "S-1-5-18"},
		{"010100ffffffffff01000000", "S-1-0x00ffffffffff-1"},
		{"01020000ffffffff01000000ffffffff", "S-1-4294967295-1-4294967295"},
		{"020100000000000512000000", ""},
		{"0100000000000005", ""},
		{"0110" + "000000000005" + strings.Repeat("00000000", 16), ""},
		{"0102000000000005" + "12000000", ""},
	} {
		b, err := hex.DecodeString(test.packed)
		if err != nil {
			t.Fatal(err)
		}
		r := ndrReader{b: b}
		if got := r.sid(); string(got) != test.want || (r.err == nil) != (test.want != "") {
			t.Errorf("%s: %q, %v, want %q", test.packed, got, r.err, test.want)
		}
	}
}
