package krb5

import (
	"encoding/binary"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/types"
)

// The domains of the tests.
const (
	homeDomain    = sid("S-1-5-21-1004336348-1177238915-682003330")
	partnerDomain = sid("S-1-5-21-7-8-9")
	aliceSID      = homeDomain + "-1104"
)

// A pacPart is a buffer of a PAC.
type pacPart struct {
	kind uint32
	data []byte
}

// buildPAC lays out parts as a PAC, each at a multiple of eight.
func buildPAC(parts ...pacPart) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(parts)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	var body []byte
	start := 8 + 16*len(parts)
	for _, p := range parts {
		b = binary.LittleEndian.AppendUint32(b, p.kind)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.data)))
		b = binary.LittleEndian.AppendUint64(b, uint64(start+len(body)))
		body = append(body, p.data...)
		body = append(body, make([]byte, -len(body)&7)...)
	}
	return append(b, body...)
}

// signaturePart is the buffer of a signature that is still zero, with octets
// behind it.
func signaturePart(kind uint32, sumType int32, size int, behind ...byte) pacPart {
	b := binary.LittleEndian.AppendUint32(nil, uint32(sumType))
	return pacPart{kind, append(append(b, make([]byte, size)...), behind...)}
}

// signPAC makes the server's signature of a PAC that has room for it.
func signPAC(t testing.TB, key types.EncryptionKey, raw []byte) []byte {
	t.Helper()
	p, err := parsePACType(raw)
	if err != nil {
		t.Fatal(err)
	}
	sum := keyedChecksum(key, usagePAC, raw)
	b, ok := p.find(pacServerChecksum)
	if !ok {
		t.Fatal("no room for the server's signature")
	}
	copy(raw[b.start+4:], sum)
	if kdc, ok := p.find(pacKDCChecksum); ok { // which nobody here can check
		for i := kdc.start + 4; i < kdc.end; i++ {
			raw[i] = 0xa5
		}
	}
	return raw
}

// signed is a PAC of these parts with both signatures.
func signed(t testing.TB, key types.EncryptionKey, parts ...pacPart) []byte {
	t.Helper()
	kind, size := pacChecksum(key.KeyType)
	return signPAC(t, key, buildPAC(append(parts,
		signaturePart(pacServerChecksum, kind, size), signaturePart(pacKDCChecksum, -138, 16))...))
}

// clientInfo is the buffer of type 10.
func clientInfo(name string, at time.Time) pacPart {
	b := binary.LittleEndian.AppendUint64(nil, uint64(at.Unix()+11644473600)*1e7)
	text := utf16le(name)
	return pacPart{pacClientInfo, append(binary.LittleEndian.AppendUint16(b, uint16(len(text))), text...)}
}

// upnInfo is the buffer of type 12, with its extension if there is a SID.
func upnInfo(upn, account string, user sid) pacPart {
	texts := [][]byte{utf16le(upn), utf16le("example.test"), utf16le(account), packSID(user)}
	flags, fields, start := uint32(upnExtended), 4, 24
	if user == "" {
		flags, fields, start = 0, 2, 16
	}
	var head, body []byte
	for i, text := range texts[:fields] {
		if i == 2 {
			head = binary.LittleEndian.AppendUint32(head, flags)
		}
		head = binary.LittleEndian.AppendUint16(head, uint16(len(text)))
		head = binary.LittleEndian.AppendUint16(head, uint16(start+len(body)))
		body = append(body, text...)
	}
	if fields == 2 {
		head = binary.LittleEndian.AppendUint32(head, flags)
	}
	return pacPart{pacUPNInfo, append(append(head, make([]byte, start-len(head))...), body...)}
}

func utf16le(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// packSID is the packet form of a SID whose authority is below 256.
func packSID(s sid) []byte {
	if s == "" {
		return nil
	}
	parts := strings.Split(string(s), "-")[2:]
	b := []byte{1, byte(len(parts) - 1), 0, 0, 0, 0, 0}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			panic(err)
		}
		if i == 0 {
			b = append(b, byte(n))
			continue
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	return b
}

// A logon is what goes into a KERB_VALIDATION_INFO.
type logon struct {
	account        string
	user, primary  uint32
	groups         []member
	flags          uint32
	domain         sid
	extra          []extraSID
	resourceDomain sid
	resource       []member
}

type member struct{ rid, attributes uint32 }

type extraSID struct {
	sid        sid
	attributes uint32
}

// aliceLogon has a group of each kind, and one of each kind that does not
// count.
func aliceLogon() logon {
	return logon{
		account: "alice", user: 1104, primary: 513, domain: homeDomain, flags: logonExtraSIDs | logonResourceGroups,
		groups:         []member{{513, 7}, {1105, 7}, {1106, 3}, {1107, 0x17}},
		extra:          []extraSID{{"S-1-18-1", 7}, {partnerDomain + "-1200", 7}, {homeDomain + "-1108", 0}},
		resourceDomain: homeDomain, resource: []member{{1110, 0x20000007}},
	}
}

// aliceGroups are those of aliceLogon that count.
var aliceGroups = []string{string(homeDomain) + "-513", string(homeDomain) + "-1105", "S-1-18-1", string(partnerDomain) + "-1200", string(homeDomain) + "-1110"}

// An ndrWriter is the other side of an ndrReader.
type ndrWriter struct {
	b        []byte
	referent uint32
	deferred []func()
}

func (w *ndrWriter) u16(v uint16) { w.b = binary.LittleEndian.AppendUint16(w.b, v) }
func (w *ndrWriter) u32(v uint32) { w.b = binary.LittleEndian.AppendUint32(w.b, v) }
func (w *ndrWriter) zero(n int)   { w.b = append(w.b, make([]byte, n)...) }
func (w *ndrWriter) align()       { w.zero(-len(w.b) & 3) }

// pointer writes a pointer, and later what it points to.
func (w *ndrWriter) pointer(there bool, content func()) {
	if !there {
		w.u32(0)
		return
	}
	w.referent += 4
	w.u32(0x20000 + w.referent)
	w.deferred = append(w.deferred, content)
}

func (w *ndrWriter) text(s string) {
	text := utf16le(s)
	w.u16(uint16(len(text)))
	w.u16(uint16(len(text)))
	w.pointer(true, func() {
		w.align()
		for _, n := range []int{len(text) / 2, 0, len(text) / 2} {
			w.u32(uint32(n))
		}
		w.b = append(w.b, text...)
	})
}

func (w *ndrWriter) sid(s sid) {
	w.pointer(s != "", func() {
		b := packSID(s)
		w.align()
		w.u32(uint32(b[1]))
		w.b = append(w.b, b...)
	})
}

func (w *ndrWriter) members(list []member) {
	w.u32(uint32(len(list)))
	w.pointer(len(list) > 0, func() {
		w.align()
		w.u32(uint32(len(list)))
		for _, m := range list {
			w.u32(m.rid)
			w.u32(m.attributes)
		}
	})
}

func (w *ndrWriter) extra(list []extraSID) {
	w.u32(uint32(len(list)))
	w.pointer(len(list) > 0, func() {
		w.align()
		w.u32(uint32(len(list)))
		later := w.deferred
		w.deferred = nil
		for _, e := range list {
			w.sid(e.sid)
			w.u32(e.attributes)
		}
		for _, content := range w.deferred {
			content()
		}
		w.deferred = later
	})
}

// part is the buffer of type 1.
func (l logon) part() pacPart {
	w := &ndrWriter{}
	w.zero(16) // headers
	w.pointer(true, nil)
	w.deferred = nil
	w.zero(6 * 8)
	for _, s := range []string{l.account, "Alice Ä. 😀", "", "", "", "H:"} {
		w.text(s)
	}
	w.zero(4)
	w.u32(l.user)
	w.u32(l.primary)
	w.members(l.groups)
	w.u32(l.flags)
	w.zero(16)
	w.text("DC")
	w.text("EXAMPLE")
	w.sid(l.domain)
	w.zero(40)
	w.extra(l.extra)
	w.sid(l.resourceDomain)
	w.members(l.resource)
	for len(w.deferred) > 0 {
		next := w.deferred[0]
		w.deferred = w.deferred[1:]
		next()
	}
	w.zero(-len(w.b) & 7)
	copy(w.b, []byte{1, 0x10, 8, 0, 0xcc, 0xcc, 0xcc, 0xcc})
	binary.LittleEndian.PutUint32(w.b[8:], uint32(len(w.b)-16))
	return pacPart{pacLogonInfo, w.b}
}

// pacData is a PAC where a KDC puts it.
func pacData(t testing.TB, pacs ...[]byte) types.AuthorizationData {
	t.Helper()
	var inner types.AuthorizationData
	for _, p := range pacs {
		inner = append(inner, types.AuthorizationDataEntry{ADType: 128, ADData: p})
	}
	b, err := asn1.Marshal(inner)
	if err != nil {
		t.Fatal(err)
	}
	return types.AuthorizationData{{ADType: 1, ADData: b}}
}
