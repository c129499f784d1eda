package config

import (
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A Protocol is what a listener speaks.
type Protocol string

// The protocols. KPOP is POP3 after a Kerberos exchange; LMTP delivers; Admin
// is HTTP for the administrator's tools.
const (
	POP3  Protocol = "pop3"
	KPOP  Protocol = "kpop"
	LMTP  Protocol = "lmtp"
	Admin Protocol = "admin"
)

// A TLSMode is when a listener speaks TLS.
type TLSMode string

// The modes: never, after STLS (RFC 2595 §4), from the first octet
// (RFC 8314 §3.2).
const (
	TLSOff      TLSMode = "off"
	TLSStart    TLSMode = "starttls"
	TLSImplicit TLSMode = "implicit"
)

// A ClearLogin is which proofs may cross a connection without TLS.
type ClearLogin string

// The proofs: none at all; those that reveal no password, such as a Kerberos
// ticket; any, passwords too. SCRAM counts as a password: whoever hears it can
// try a dictionary on it.
const (
	ClearNone    ClearLogin = "none"
	ClearTickets ClearLogin = "tickets"
	ClearAny     ClearLogin = "any"
)

// A ClientCertificates is whether clients are asked for a certificate.
type ClientCertificates string

// The answers: no; yes, but whoever has none, or none that is good, may log in
// by other means; yes, and TLS fails without a good one.
const (
	CertificatesNone    ClientCertificates = "none"
	CertificatesRequest ClientCertificates = "request"
	CertificatesRequire ClientCertificates = "require"
)

// A Language is one that replies can be in (RFC 5646).
type Language string

// Languages are all that there are.
func Languages() []Language { return []Language{"en", "de", "es", "fr", "ja"} }

// A UTF8Messages is what becomes of a message that needs UTF-8 mode, for a client
// without it.
type UTF8Messages string

// The choices: the message itself, as servers have always sent 8-bit headers; one
// in ASCII that stands for it (RFC 6858); none.
const (
	UTF8AsIs      UTF8Messages = "as-is"
	UTF8Surrogate UTF8Messages = "surrogate"
	UTF8Refuse    UTF8Messages = "refuse"
)

// A Listener is one port.
type Listener struct {
	Place

	Name string // the block's label, unique
	// Address is ":110" (every address), "192.0.2.1:110", "[2001:db8::1]:110"
	// or "unix:/path". Required.
	Address Address
	// Protocol is "pop3", "kpop", "lmtp" or "admin". Required. Admin listens on
	// Unix sockets only.
	Protocol Protocol
	// TLS is "off", "starttls" or "implicit". Default: "starttls" for pop3 and
	// kpop, else "off".
	TLS TLSMode

	// LoginWithoutTLS is "none", "tickets" or "any". Default: "tickets", so
	// that no password crosses in the clear (RFC 8314 §4.1).
	LoginWithoutTLS ClearLogin
	// ClientCertificates is "none", "request" or "require". Default: "", which
	// is "request" where EXTERNAL takes certificates and else "none": clients
	// may ask their users which one to show.
	ClientCertificates ClientCertificates
	// Mechanisms take the place of the file's. Of those only EXTERNAL, for the
	// ticket's own principal, is there for KPOP. Default: nil, the file's, and
	// EXTERNAL for KPOP.
	Mechanisms []string
	// Networks are those whose clients meet another policy than the
	// listener's: the first that holds the client's address decides.
	Networks []Network
	// AllowFrom are the networks that may connect. Default: nil, all.
	AllowFrom []netip.Prefix
	// ProxyProtocolFrom are the networks of proxies, whose connections must
	// begin with a PROXY header. Default: nil, none.
	ProxyProtocolFrom []netip.Prefix
	// LoginTimeout is how long a client may take to log in, 5s to 10m.
	// Default: 60s.
	LoginTimeout time.Duration
	// Autologout is how long a client may be silent after that, at least 10m
	// (RFC 1939 §3). Default: 10m.
	Autologout time.Duration
	// Language is that of replies to clients which ask for the one that is
	// preferred here, by LANG * (RFC 6856 §3): "en", "de", "es", "fr" or "ja".
	// Default: "en".
	Language Language
	// UTF8Messages is what clients get that do not ask for UTF-8 mode (RFC 6856
	// §2.1) of messages with characters beyond ASCII in their headers: "as-is",
	// "surrogate" or "refuse". Default: "as-is".
	UTF8Messages UTF8Messages
	// SDPS speaks Demon's Standard Dial-up POP3 Service: a login as user@host
	// takes the proof of host, and sees of its maildrop the mail for user; *ENV
	// tells a message's envelope. Default: false.
	SDPS bool
	// SDPSSeparators are what divides user and host, the last in a name. Default:
	// "@+".
	SDPSSeparators string

	// SocketMode is the mode of a Unix socket, and SocketGroup its group, by
	// name or number: who may connect. Default: 0, as the umask leaves it, and
	// "", the server's own.
	SocketMode  uint32
	SocketGroup string
	Delivery    // of LMTP
}

func (f *File) readListener(d *decoder, b *hclsyntax.Block) {
	if len(f.Listeners) >= maxListeners {
		d.errorf(b.DefRange(), "Too many listeners", "There may be %d listeners.", maxListeners)
		return
	}
	l := Listener{Name: b.Labels[0], LoginWithoutTLS: ClearTickets, LoginTimeout: time.Minute, Autologout: 10 * time.Minute, Language: "en", UTF8Messages: UTF8AsIs, SDPSSeparators: "@+"}
	l.Delivery = defaultDelivery
	l.Place = d.block(b, schema{what: "listener", blocks: []block{
		{name: "network", labels: []string{"name"}, read: l.readNetwork},
	}, fields: append(l.Delivery.fields(),
		must("address", value(address(&l.Address))),
		must("protocol", value(oneOf(&l.Protocol, POP3, KPOP, LMTP, Admin))),
		may("tls", value(oneOf(&l.TLS, TLSOff, TLSStart, TLSImplicit))),
		may("login_without_tls", value(oneOf(&l.LoginWithoutTLS, ClearNone, ClearTickets, ClearAny))),
		may("client_certificates", value(oneOf(&l.ClientCertificates, CertificatesNone, CertificatesRequest, CertificatesRequire))),
		may("mechanisms", value(list(&l.Mechanisms, mechanism))),
		may("allow_from", value(list(&l.AllowFrom, prefix))),
		may("proxy_protocol_from", value(list(&l.ProxyProtocolFrom, prefix))),
		may("login_timeout", value(duration(&l.LoginTimeout, 5*time.Second, 10*time.Minute, ""))),
		// RFC 1939 §3: such a timer MUST be of at least 10 minutes' duration.
		may("autologout", value(duration(&l.Autologout, 10*time.Minute, 24*time.Hour, " (RFC 1939 §3)"))),
		may("language", value(oneOf(&l.Language, Languages()...))),
		may("utf8_messages", value(oneOf(&l.UTF8Messages, UTF8AsIs, UTF8Surrogate, UTF8Refuse))),
		may("sdps", value(boolean(&l.SDPS))),
		may("sdps_separators", value(separators(&l.SDPSSeparators))),
		may("socket_mode", value(mode(&l.SocketMode))),
		may("socket_group", value(str(&l.SocketGroup))),
	)})
	if l.TLS == "" {
		l.TLS = TLSOff
		if l.collects() {
			l.TLS = TLSStart
		}
	}
	if l.Protocol != LMTP {
		l.Delivery = Delivery{}
	}
	if l.requiresCertificates() {
		l.ClientCertificates = CertificatesRequire
	}
	f.Listeners = append(f.Listeners, l)
}

// separators takes characters that may stand in a login name but not in a host
// name.
func separators(dst *string) setter {
	const allowed = "@+%!=:#~^|"
	return text(func(v val, s string) *complaint {
		if s == "" || len(s) > len(allowed) || strings.Trim(s, allowed) != "" {
			return complain("It must be one or more of the characters %s.", allowed)
		}
		*dst = s
		return nil
	})
}

// collects reports whether clients collect mail there.
func (l *Listener) collects() bool { return l.Protocol == POP3 || l.Protocol == KPOP }

func defaultListeners(at Range, kerberos bool) []Listener {
	one := func(name, addr string, p Protocol, mode TLSMode) Listener {
		return Listener{Place: Place{Header: at}, Name: name, Address: Address{"tcp", addr}, Protocol: p, TLS: mode,
			LoginWithoutTLS: ClearTickets, LoginTimeout: time.Minute, Autologout: 10 * time.Minute, Language: "en", UTF8Messages: UTF8AsIs, SDPSSeparators: "@+"}
	}
	all := []Listener{
		one("pop3", ":110", POP3, TLSStart),
		one("pop3s", ":995", POP3, TLSImplicit),
	}
	if kerberos {
		all = append(all, one("kpop", ":1109", KPOP, TLSStart))
	}
	return all
}
