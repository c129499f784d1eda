package krb5

import (
	"encoding/binary"
	"runtime"
	"slices"
	"testing"
	"time"
)

// Twice as many groups as Windows puts into a ticket, over KPOP's acceptor.
func TestPACManyGroups(t *testing.T) {
	w := newPACWorld(t, PACRequire)
	l := aliceLogon()
	l.groups, l.extra, l.resource = nil, nil, nil
	var want []string
	for i := range uint32(1200) {
		l.groups = append(l.groups, member{1000 + i, 7})
		l.extra = append(l.extra, extraSID{partnerDomain.in(1000 + i), 7})
	}
	l.groups = append(l.groups, member{513, 7})
	for _, m := range l.groups {
		want = append(want, string(homeDomain.in(m.rid)))
	}
	for _, e := range l.extra {
		want = append(want, string(e.sid))
	}
	part := l.part()
	if len(part.data) < 39000 {
		t.Errorf("only %d octets", len(part.data))
	}
	id, err := w.try(t, w.signed(t, part, clientInfo("alice", pacTime)))
	if err != nil || !slices.Equal(id.Groups, want) {
		t.Errorf("%d groups, %v", len(id.Groups), err)
	}
	l.groups = slices.Repeat(l.groups, 5)
	if _, err := parseLogonInfo(l.part().data); err == nil {
		t.Error("more groups than there can be")
	}
}

// bounded runs f and demands that it takes neither long nor much.
func bounded(t *testing.T, what string, at int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; took > 5*time.Second || n > 1<<20 {
		t.Errorf("%s at %d: %s, %d octets", what, at, took, n)
	}
}

// Every cut of the logon information, and every change of one of its fields to
// what surprises. Cut ones are errors; changed ones may say something else.
func TestLogonInfoHostile(t *testing.T) {
	valid := aliceLogon().part().data
	if _, err := parseLogonInfo(valid); err != nil {
		t.Fatal(err)
	}
	for n := range valid {
		bounded(t, "cut", n, func() {
			if _, err := parseLogonInfo(valid[:n]); err == nil {
				t.Errorf("cut at %d of %d is right", n, len(valid))
			}
		})
	}
	// The version, lengths and counts, one more; the pointers, none.
	counts := []int{0, 2, 68, 128, 216, 228}
	pointers := []int{16, 72, 132, 172, 220, 224, 232}
	for i := 0; i+4 <= len(valid); i += 2 {
		old := binary.LittleEndian.Uint32(valid[i:])
		for _, v := range []uint32{0, 1, old + 1, old - 1, 0x7fffffff, 0xffffffff, 0x80000000, 0x20000000, 0x10001} {
			b := slices.Clone(valid)
			binary.LittleEndian.PutUint32(b[i:], v)
			bounded(t, "field", i, func() { parseLogonInfo(b) })
		}
		b := slices.Clone(valid)
		if slices.Contains(counts, i) {
			binary.LittleEndian.PutUint32(b[i:], old+1)
		} else if slices.Contains(pointers, i) {
			binary.LittleEndian.PutUint32(b[i:], 0)
		} else {
			continue
		}
		if _, err := parseLogonInfo(b); err == nil {
			t.Errorf("%d for %d at %d is right", binary.LittleEndian.Uint32(b[i:]), old, i)
		}
	}
}

// The same of the whole PAC: its header, and, signed anew, all buffers.
func TestPACHostile(t *testing.T) {
	w := newPACWorld(t, PACRequire)
	valid := w.signed(t, clientInfo("alice", pacTime), upnInfo("alice@x", "alice", aliceSID), pacPart{pacRequestor, packSID(aliceSID)})
	x := &exchange{Acceptor: w.Acceptor, keys: w.mint.Keys(), client: alice}
	x.inner.AuthTime = pacTime
	x.opened, _ = w.mint.key(popService, 0)
	if _, err := x.readPAC(valid); err != nil {
		t.Fatal(err)
	}
	for n := range valid {
		bounded(t, "cut", n, func() {
			if _, err := x.readPAC(valid[:n]); err == nil {
				t.Errorf("cut at %d of %d is right", n, len(valid))
			}
		})
	}
	for i := 0; i+4 <= len(valid); i += 2 {
		old := binary.LittleEndian.Uint32(valid[i:])
		for _, v := range []uint32{0, 1, old + 1, old - 1, 0x7fffffff, 0xffffffff, 0x80000000, 0x20000000} {
			b := slices.Clone(valid)
			binary.LittleEndian.PutUint32(b[i:], v)
			bounded(t, "field", i, func() { x.readPAC(b) })
			bounded(t, "signed field", i, func() { x.readPAC(w.resigned(t, b)) })
		}
	}
}

// resigned signs what was changed, where that is possible.
func (w *pacWorld) resigned(t testing.TB, b []byte) []byte {
	p, err := parsePACType(b)
	if err != nil {
		return b
	}
	server, ok := p.find(pacServerChecksum)
	kdc, has := p.find(pacKDCChecksum)
	if !ok || !has || server.end-server.start < 4 || kdc.end-kdc.start < 4 {
		return b
	}
	clear(b[server.start+4 : server.end])
	clear(b[kdc.start+4 : kdc.end])
	return signPAC(t, w.key, b)
}

// FuzzPAC reads PACs whose signature is right, which only a KDC can make.
func FuzzPAC(f *testing.F) {
	a, m, _ := newFuzzWorld(f)
	k, err := m.key(popService, 18)
	if err != nil {
		f.Fatal(err)
	}
	w := &pacWorld{Acceptor: a, mint: m, key: k.encryptionKey()}
	day := time.Unix(1<<30, 0)
	for _, parts := range [][]pacPart{
		{clientInfo("alice", day)},
		{aliceLogon().part(), clientInfo("alice", day), upnInfo("alice@x", "alice", aliceSID), {pacRequestor, packSID(aliceSID)}},
		{upnInfo("alice@x", "", ""), clientInfo("alice", day)},
	} {
		f.Add(w.signed(f, parts...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x := &exchange{Acceptor: a, keys: m.Keys(), client: alice, opened: k}
		x.inner.AuthTime = day
		x.readPAC(b)
		info, err := x.readPAC(w.resigned(t, slices.Clone(b)))
		if err == nil && len(info.groups) > 3*maxPACGroups {
			t.Errorf("%d groups", len(info.groups))
		}
	})
}

func FuzzLogonInfo(f *testing.F) {
	f.Add(aliceLogon().part().data)
	f.Add(logon{account: "bob", user: 1, domain: homeDomain}.part().data)
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := parseLogonInfo(b)
		if err == nil && (info.domain == "" || len(info.groups) > len(b)/4) {
			t.Errorf("%d octets give %+v", len(b), info)
		}
	})
}
