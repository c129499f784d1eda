package krb5

// Bits of UserFlags that say which fields count ([MS-PAC] §2.5), and of a
// group's attributes ([MS-PAC] §2.2.1).
const (
	logonExtraSIDs      = 0x20
	logonResourceGroups = 0x200

	groupEnabled  = 0x4
	groupDenyOnly = 0x10
)

// maxPACGroups is several times what Windows puts into a ticket, 1,015.
const maxPACGroups = 5000

// A logonInfo is what a KERB_VALIDATION_INFO says of a user ([MS-PAC] §2.5).
type logonInfo struct {
	account string // sAMAccountName
	domain  sid
	user    sid
	groups  []sid // each once, and only those that are enabled
}

// A logonFixed is the fixed part of a KERB_VALIDATION_INFO, as far as it is
// needed to read what comes behind it.
type logonFixed struct {
	names                  [6]ndrString // the first is the account's
	user, primary          uint32
	groups                 ndrArray
	flags                  uint32
	server, domainName     ndrString
	domain, resourceDomain ndrPointer
	extra, resource        ndrArray
}

// An ndrArray is a count and a pointer to so many elements.
type ndrArray struct {
	n  uint32
	at ndrPointer
}

func (r *ndrReader) arrayAt() ndrArray {
	a := ndrArray{n: r.u32()}
	a.at = r.pointer()
	if a.n > maxPACGroups || a.n > 0 && !bool(a.at) {
		r.fail()
	}
	return a
}

// parseLogonInfo reads the buffer of type 1.
func parseLogonInfo(b []byte) (logonInfo, error) {
	r := ndrReader{b: b}
	r.serialized()
	f := r.logonFixed()
	info := r.logonInfo(f)
	if r.err != nil {
		return logonInfo{}, r.err
	}
	return info, nil
}

// serialized reads the headers of type serialization, version 1, and the
// pointer to the one structure in it ([MS-RPCE] §2.2.6). Both headers are of
// eight octets, so that alignment counts from either end of them.
func (r *ndrReader) serialized() {
	version, endian, length := r.u8(), r.u8(), r.u16()
	r.u32() // filler
	size := r.u32()
	r.u32() // filler
	if version != 1 || endian != 0x10 || length != 8 || uint64(size) > uint64(r.left()) {
		r.fail()
		return
	}
	r.b = r.b[:r.off+int(size)]
	if !r.pointer() {
		r.fail()
	}
}

func (r *ndrReader) logonFixed() (f logonFixed) {
	r.take(6 * 8) // times of the logon and of the password
	for i := range f.names {
		f.names[i] = r.unicodeString()
	}
	r.take(2 * 2) // counts of logons and of bad passwords
	f.user, f.primary = r.u32(), r.u32()
	f.groups = r.arrayAt()
	f.flags = r.u32()
	r.take(16) // session key
	f.server, f.domainName = r.unicodeString(), r.unicodeString()
	f.domain = r.pointer()
	r.take(2*4 + 4 + 4 + 2*8 + 4 + 4) // reserved, account control, failed logons
	f.extra = r.arrayAt()
	f.resourceDomain = r.pointer()
	f.resource = r.arrayAt()
	return f
}

// logonInfo reads what the pointers of f point to, in their order.
func (r *ndrReader) logonInfo(f logonFixed) (info logonInfo) {
	for i, s := range f.names {
		if text := r.text(s); i == 0 {
			info.account = text
		}
	}
	ids := r.memberships(f.groups)
	r.text(f.server)
	r.text(f.domainName)
	info.domain = r.sidAt(f.domain)
	extra := r.extraSIDs(f.extra)
	resourceDomain := r.sidAt(f.resourceDomain)
	resource := r.memberships(f.resource)
	if r.err != nil || info.domain == "" || len(resource) > 0 && resourceDomain == "" {
		r.fail()
		return info
	}
	if f.flags&logonExtraSIDs == 0 {
		extra = nil
	}
	if f.flags&logonResourceGroups == 0 {
		resource = nil
	}
	info.user, extra = userOf(info.domain, f.user, extra)
	info.add(info.domain, append(ids, f.primary))
	info.groups = appendNew(info.groups, extra...)
	info.add(resourceDomain, resource)
	return info
}

// userOf returns the user's SID. A user without a number in the domain is the
// first of the extra SIDs ([MS-PAC] §2.5, UserId).
func userOf(domain sid, rid uint32, extra []sid) (sid, []sid) {
	switch {
	case rid != 0:
		return domain.in(rid), extra
	case len(extra) > 0:
		return extra[0], extra[1:]
	}
	return "", nil
}

func (r *ndrReader) sidAt(p ndrPointer) sid {
	if !p {
		return ""
	}
	return r.rpcSID()
}

// memberships reads GROUP_MEMBERSHIP structures and returns the numbers of
// those that are enabled.
func (r *ndrReader) memberships(a ndrArray) (enabled []uint32) {
	if !a.at {
		return nil
	}
	for range r.array(a.n, 8) {
		rid, attributes := r.u32(), r.u32()
		if isEnabled(attributes) {
			enabled = append(enabled, rid)
		}
	}
	return enabled
}

func isEnabled(attributes uint32) bool {
	return attributes&(groupEnabled|groupDenyOnly) == groupEnabled
}

// extraSIDs reads KERB_SID_AND_ATTRIBUTES structures, and behind them what
// each of them points to. It returns those that are enabled.
func (r *ndrReader) extraSIDs(a ndrArray) (enabled []sid) {
	if !a.at {
		return nil
	}
	type entry struct {
		at         ndrPointer
		attributes uint32
	}
	entries := make([]entry, r.array(a.n, 8))
	for i := range entries {
		entries[i] = entry{r.pointer(), r.u32()}
	}
	for _, e := range entries {
		s := r.sidAt(e.at)
		if r.err != nil || s == "" {
			r.fail()
			return nil
		}
		if isEnabled(e.attributes) {
			enabled = append(enabled, s)
		}
	}
	return enabled
}

// add adds groups with their numbers in a domain.
func (i *logonInfo) add(domain sid, ids []uint32) {
	groups := make([]sid, len(ids))
	for j, rid := range ids {
		groups[j] = domain.in(rid)
	}
	i.groups = appendNew(i.groups, groups...)
}

// appendNew appends those that are not in list yet.
func appendNew(list []sid, more ...sid) []sid {
	known := make(map[sid]bool, len(list)+len(more))
	for _, s := range list {
		known[s] = true
	}
	for _, s := range more {
		if !known[s] {
			known[s] = true
			list = append(list, s)
		}
	}
	return list
}
