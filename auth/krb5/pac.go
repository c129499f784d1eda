package krb5

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/iana/adtype"
	"github.com/jcmturner/gokrb5/v8/types"

	"kpopd/auth"
)

// A PACMode says what becomes of a ticket's PAC, in which Active Directory and
// Samba write down who the client is and which groups it is in ([MS-PAC]).
type PACMode int

const (
	// PACIgnore looks at no PAC.
	PACIgnore PACMode = iota
	// PACIfValid uses a PAC that is there and right. Without one, or with one
	// that is not, the client is who the ticket says, in no groups. One that is
	// right and of an account that is not called so keeps the client out.
	PACIfValid
	// PACRequire takes only tickets with a PAC that is right.
	PACRequire
)

// ParsePACMode returns the mode called "ignore", "use-if-valid" or "require".
func ParsePACMode(name string) (PACMode, error) {
	switch name {
	case "ignore":
		return PACIgnore, nil
	case "use-if-valid":
		return PACIfValid, nil
	case "require":
		return PACRequire, nil
	}
	return 0, fmt.Errorf("krb5: no mode %q for PACs", name)
}

// Names of the attributes that a PAC gives an identity. No directory may give
// others of these names.
const (
	attrSID     = "sid"         // the user's SID
	attrUPN     = "pac_upn"     // the user principal name
	attrAccount = "pac_account" // the account's name, sAMAccountName
)

// pacInfo is what a PAC says of the client. MIT's has none of it.
type pacInfo struct {
	user         sid
	groups       []sid
	upn, account string
}

// checkPAC reads the PAC as the mode asks.
func (x *exchange) checkPAC() error {
	if x.PAC == PACIgnore {
		return nil
	}
	raw, err := findPAC(x.inner.AuthData)
	if err == nil && raw == nil {
		if x.PAC == PACRequire {
			return causePACMissing.refuse("%q", x.client.String())
		}
		return nil
	}
	var info pacInfo
	if err == nil {
		info, err = x.readPAC(raw)
	}
	switch {
	case err == nil && x.atHome() && !info.isNamed(x.client):
		return causePACMismatch.refuse("a ticket of %q for the account %.200q", x.client.String(), info.account)
	case err == nil:
		x.pac = info
	case x.PAC == PACRequire:
		return err
	default:
		x.log().Warn("PAC is not used", "principal", x.client.String(), "reason", auth.Reason(err), "err", err)
	}
	return nil
}

func (a *Acceptor) log() *slog.Logger {
	if a.Log == nil {
		return slog.Default()
	}
	return a.Log
}

// findPAC returns the PAC among a ticket's authorization data, nil if there is
// none: the element of type AD-WIN2K-PAC inside any AD-IF-RELEVANT
// ([MS-PAC] §2.1). A client may have had elements of its own put before it or
// behind it (RFC 4120 §5.4.1); what does not decode is none. Two PACs cannot
// both be the KDC's.
func findPAC(data types.AuthorizationData) ([]byte, error) {
	var found []byte
	for _, outer := range data {
		if outer.ADType != adtype.ADIfRelevant {
			continue
		}
		var inner types.AuthorizationData
		if rest, err := asn1.Unmarshal(outer.ADData, &inner); err != nil || len(rest) > 0 {
			continue
		}
		for _, element := range inner {
			switch {
			case element.ADType != adtype.ADWin2KPAC:
			case found != nil:
				return nil, causePACMalformed.refuse("more than one")
			default:
				found = append([]byte{}, element.ADData...)
			}
		}
	}
	return found, nil
}

// readPAC verifies a PAC, before anything in it is decoded but where its parts
// lie, and reads it.
func (x *exchange) readPAC(raw []byte) (pacInfo, error) {
	p, err := parsePACType(raw)
	if err != nil {
		return pacInfo{}, causePACMalformed.refuse("%w", err)
	}
	if err := p.verify(x.opened.encryptionKey()); err != nil {
		return pacInfo{}, causePACSignature.refuse("%w", err)
	}
	if err := p.checkClient(x.client, x.inner.AuthTime); err != nil {
		return pacInfo{}, err
	}
	info, err := p.info()
	if err != nil {
		return pacInfo{}, err
	}
	if !x.atHome() {
		return info.foreign(x.DomainSIDs)
	}
	return info, nil
}

// checkClient demands that the PAC is about the ticket's client, and of the
// same time ([MS-PAC] §2.7), lest it come from another ticket. MIT Kerberos
// writes the name escaped, and may add the realm of a foreign client.
func (p *pacType) checkClient(client Principal, authTime time.Time) error {
	r, ok := p.reader(pacClientInfo)
	at := r.u64()
	name := r.utf16(int(r.u16()))
	if !ok || r.err != nil {
		return causePACMalformed.refuse("client information")
	}
	if fileTime(at) != authTime.Unix() {
		return causePACMismatch.refuse("the PAC is of another time than the ticket")
	}
	whole := client.String()
	escaped := whole[:len(whole)-len(Principal{Realm: client.Realm}.String())]
	if !slices.Contains([]string{strings.Join(client.Components, "/"), escaped, whole}, name) {
		return causePACMismatch.refuse("ticket of %q, PAC of %.200q", whole, name)
	}
	return nil
}

// fileTime returns a FILETIME ([MS-DTYP] §2.3.3), tenths of microseconds since
// 1601, in seconds since 1970.
func fileTime(t uint64) int64 { return int64(t/1e7) - 11644473600 }

// info reads what there is about the client, and demands that it agrees.
func (p *pacType) info() (info pacInfo, err error) {
	if r, ok := p.reader(pacLogonInfo); ok {
		logon, err := parseLogonInfo(r.b)
		if err != nil {
			return info, causePACMalformed.refuse("logon information")
		}
		info = pacInfo{user: logon.user, groups: logon.groups, account: logon.account}
	}
	names, err := p.upnInfo()
	if err != nil {
		return info, err
	}
	info.upn = names.upn
	if info.account == "" {
		info.account = names.account
	}
	requestor, err := p.requestor()
	if err != nil {
		return info, err
	}
	for _, s := range []sid{names.user, requestor} {
		if s != "" && info.user != "" && s != info.user {
			return info, causePACMismatch.refuse("of %s and of %s", info.user, s)
		}
		if info.user == "" {
			info.user = s
		}
	}
	return info, info.checkNames()
}

// checkNames refuses names that are none.
func (i pacInfo) checkNames() error {
	for _, name := range []string{i.upn, i.account} {
		if name != "" && (len(name) > maxPrincipal || validPart(name) != nil) {
			return causePACMalformed.refuse("an unusable name")
		}
	}
	return nil
}

// isNamed reports whether an account may be called like a principal: by its name,
// or by what stands before the '@' of its user principal name. Active Directory
// gives tickets by other names too, which those accounts have chosen that may
// write their own user principal name, and which are another's perhaps.
func (i pacInfo) isNamed(p Principal) bool {
	name, plain := p.plainName()
	before, _, ok := strings.Cut(i.upn, "@")
	return !plain || i.account == "" || strings.EqualFold(name, i.account) || ok && strings.EqualFold(name, before)
}

// Flags of UPN_DNS_INFO ([MS-PAC] §2.10): the account's name and its SID are
// there too.
const upnExtended = 2

// upnInfo reads the buffer of type 12 if there is one: offsets, from its own
// beginning, and lengths of what lies behind them.
func (p *pacType) upnInfo() (info pacInfo, err error) {
	r, ok := p.reader(pacUPNInfo)
	if !ok {
		return info, nil
	}
	upn := r.span()
	r.span() // the domain's name
	var account, user ndrReader
	if r.u32()&upnExtended != 0 {
		account, user = r.span(), r.span()
		info.account = account.utf16(account.left())
		info.user = user.sid()
	}
	info.upn = upn.utf16(upn.left())
	if r.err != nil || upn.err != nil || account.err != nil || user.err != nil {
		return info, causePACMalformed.refuse("names")
	}
	return info, nil
}

// span reads a length and an offset from the beginning, and returns a reader
// of what is there.
func (r *ndrReader) span() ndrReader {
	n, off := int(r.u16()), int(r.u16())
	if r.err != nil || off+n > len(r.b) {
		r.fail()
		return ndrReader{}
	}
	return ndrReader{b: r.b[off : off+n]}
}

// requestor reads the buffer of type 18 ([MS-PAC] §2.15) if there is one.
func (p *pacType) requestor() (sid, error) {
	r, ok := p.reader(pacRequestor)
	if !ok {
		return "", nil
	}
	s := r.sid()
	if r.err != nil {
		return "", causePACMalformed.refuse("requestor")
	}
	return s, nil
}

// foreign returns what may be believed of a client of another realm, whose KDC
// may have written anything into its PAC: SIDs of the client's own domain, if
// that is none of ours. Names, which are this realm's to give, are dropped, and
// so are the groups of all other domains and those that every machine has.
func (i pacInfo) foreign(own []string) (pacInfo, error) {
	domain := i.user.domain()
	switch {
	case i.user == "": // MIT's
		return pacInfo{}, nil
	case len(own) == 0:
		return pacInfo{}, causePACForeign.refuse("the SIDs of our own domains are not known")
	case !domain.isDomain() || slices.Contains(own, string(domain)):
		return pacInfo{}, causePACMismatch.refuse("a client of another realm has the SID %s", i.user)
	}
	theirs := pacInfo{user: i.user}
	for _, g := range i.groups {
		if g.domain() == domain {
			theirs.groups = append(theirs.groups, g)
		}
	}
	return theirs, nil
}

// enrich adds what the PAC says to the client's identity.
func (i pacInfo) enrich(id *auth.Identity) {
	for name, value := range map[string]string{attrSID: string(i.user), attrUPN: i.upn, attrAccount: i.account} {
		if value != "" {
			id.Attrs[name] = value
		}
	}
	for _, g := range i.groups {
		id.Groups = append(id.Groups, string(g))
	}
}
