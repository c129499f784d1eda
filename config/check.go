package config

import (
	"slices"
	"strings"
)

// checkFile checks what no single block shows. implied: the listeners are the
// default ones.
func (d *decoder) checkFile(f *File, implied bool) {
	d.checkNames(f)
	d.checkMechanisms(f, f.Place, f.Mechanisms)
	d.checkAuthenticators(f)
	d.checkLocalUser(f)
	d.checkAttrs(f)
	d.checkRecorded(f)
	d.checkQuotas(f)
	d.checkRetentions(f)
	if implied {
		if f.TLS == nil {
			d.errorf(f.Header, "Missing block", "The default listeners need a tls block. Without one, write listener blocks that say tls = \"off\".")
		}
		return
	}
	for i := range f.Listeners {
		l := &f.Listeners[i]
		d.checkAddress(f.Listeners[:i], l)
		d.checkSocket(l)
		d.checkDelivering(f, l)
		if l.Protocol == KPOP { // where the ticket is the source
			d.checkTicketMechanisms(l)
		} else {
			d.checkMechanisms(f, l.Place, l.Mechanisms)
		}
		switch {
		case l.collects():
			d.checkCollecting(f, l)
		case l.Protocol != "":
			d.checkOther(f, l)
		}
	}
}

// checkTicketMechanisms warns of what no KPOP session has.
func (d *decoder) checkTicketMechanisms(l *Listener) {
	for _, name := range l.Mechanisms {
		if name != "EXTERNAL" {
			d.warnf(l.At("mechanisms"), "Mechanism without effect", "A KPOP client shows its ticket first; after that there is EXTERNAL alone, not %q.", name)
		}
	}
}

// checkNames checks that labels are unique.
func (d *decoder) checkNames(f *File) {
	seen := map[string]Range{}
	unique := func(what string, at Range) {
		if first, ok := seen[what]; ok {
			d.errorf(at, "Duplicate name", "There is another %s at %s:%d.", what, first.Filename, first.Start.Line)
			return
		}
		seen[what] = at
	}
	for _, l := range f.Listeners {
		unique("listener \""+l.Name+"\"", l.Header)
	}
	for _, l := range f.Listeners {
		for _, n := range l.Networks {
			unique("network \""+n.Name+"\" in listener \""+l.Name+"\"", n.Header)
		}
	}
	for _, a := range f.Authenticators {
		unique("authenticator \""+a.Kind+"\" \""+a.Name+"\"", a.Header)
	}
}

// checkAddress checks that l can be bound beside those before it.
func (d *decoder) checkAddress(before []Listener, l *Listener) {
	for _, other := range before {
		if l.Address.Addr != "" && l.Address.overlaps(other.Address) {
			d.errorf(l.At("address"), "Address in use", "The listener %q has the address %q.", other.Name, other.Address)
			return
		}
	}
	if l.Address.Network != "unix" {
		return
	}
	for _, name := range []string{"allow_from", "proxy_protocol_from"} {
		if l.has(name) {
			d.errorf(l.At(name), "Argument without effect", "Clients of a Unix socket have no address that %s could hold.", name)
		}
	}
}

// checkCollecting checks a listener for POP3 or KPOP.
func (d *decoder) checkCollecting(f *File, l *Listener) {
	plain := l.TLS == TLSOff
	if !plain && f.TLS == nil {
		d.errorf(l.At("tls"), "Missing tls block", "This listener speaks TLS, which needs a tls block with a certificate. Without one, say tls = \"off\".")
	}
	d.checkNetworks(f, l)
	admits := func(n Network) bool { return n.LoginWithoutTLS != ClearNone }
	if plain && l.LoginWithoutTLS == ClearNone && !slices.ContainsFunc(l.Networks, admits) {
		d.errorf(l.At("login_without_tls"), "Nobody can log in", "The listener has no TLS, and lets nobody log in without.")
	}
	if l.LoginWithoutTLS == ClearAny && !l.Address.Local() {
		d.warnf(l.At("login_without_tls"), "Passwords in the clear", "Passwords may reach this listener without TLS (RFC 8314 §4.1).")
	}
	if k := f.Kerberos; plain && k != nil && k.ChannelBinding == BindRequire {
		d.errorf(l.At("tls"), "No channel to bind to", "channel_binding = \"require\" needs TLS, which this listener does not speak.")
	}
	d.checkClients(f, l)
	if l.has("sdps_separators") && !l.SDPS {
		d.errorf(l.At("sdps_separators"), "Argument without effect", "It is for sdps = true.")
	}
	if l.Protocol != KPOP {
		return
	}
	if f.Kerberos == nil {
		d.errorf(l.At("protocol"), "Missing kerberos block", "KPOP needs a kerberos block with a keytab.")
	}
	if k := f.Kerberos; k != nil && k.ChannelBinding == BindRequire {
		d.warnf(l.At("protocol"), "Tickets without a binding", "channel_binding = \"require\" does not hold here: a client of KPOP binds its ticket to no channel.")
	}
	if l.TLS == TLSImplicit {
		d.warnf(l.At("tls"), "No client known", "No client is known to speak KPOP inside implicit TLS; \"starttls\" works.")
	}
}

// checkClients checks that clients can be asked for certificates.
func (d *decoder) checkClients(f *File, l *Listener) {
	if l.ClientCertificates == "" || l.ClientCertificates == CertificatesNone {
		return
	}
	at := l.At("client_certificates")
	switch {
	case l.TLS == TLSOff:
		d.errorf(at, "No TLS here", "Clients show a certificate when TLS begins, and this listener does not speak it.")
	case f.TLS != nil && f.TLS.ClientCAFile == "":
		d.errorf(at, "No client certificates", "This needs client_ca_file in the tls block.")
	}
}

// checkOther checks a listener for LMTP or the administrator.
func (d *decoder) checkOther(f *File, l *Listener) {
	for _, name := range []string{"login_without_tls", "mechanisms", "login_timeout", "autologout", "language", "utf8_messages", "sdps", "sdps_separators"} {
		if l.has(name) {
			d.errorf(l.At(name), "Argument without effect", "Nobody logs in to a listener for %s.", l.Protocol)
		}
	}
	for _, n := range l.Networks {
		d.errorf(n.Header, "Block without effect", "Nobody logs in to a listener for %s.", l.Protocol)
	}
	if l.Protocol == Admin && l.has("client_certificates") {
		d.errorf(l.At("client_certificates"), "Argument without effect", "The administrator's listener is a Unix socket, without TLS.")
	}
	switch {
	case l.Protocol == Admin && l.TLS != TLSOff:
		d.errorf(l.At("tls"), "No TLS here", "The administrator's listener is a Unix socket, without TLS.")
	case l.TLS != TLSOff && f.TLS == nil:
		d.errorf(l.At("tls"), "Missing tls block", "This listener speaks TLS, which needs a tls block with a certificate.")
	}
	// Whoever may connect is the administrator; only the kernel can tell.
	if l.Protocol == Admin && l.Address.Network == "tcp" {
		d.errorf(l.At("address"), "Not a Unix socket", "The administrator's listener is a Unix socket, such as \"unix:/run/kpopd/admin.sock\".")
	}
}

// checkMechanisms checks that what names asks for is there. What needs nothing
// but TLS on the connection is decided there.
func (d *decoder) checkMechanisms(f *File, p Place, names []string) {
	has := func(kinds ...string) bool {
		return slices.ContainsFunc(f.Authenticators, func(a Authenticator) bool { return slices.Contains(kinds, a.Kind) })
	}
	for _, m := range names {
		missing := ""
		switch {
		case strings.HasPrefix(m, "GSS"):
			if f.Kerberos == nil {
				missing = "a kerberos block"
			}
		case m == "OAUTHBEARER" || m == "XOAUTH2":
			if !has("oauth") {
				missing = `an authenticator "oauth"`
			}
		case m == "EXTERNAL":
			if !has("certificate") {
				missing = `an authenticator "certificate"`
			}
		case m == "PLAIN" || m == "LOGIN":
			if !has("file", "ldap", "kerberos") {
				missing = `an authenticator "file", "ldap" or "kerberos"`
			}
		case !slices.ContainsFunc(f.Authenticators, Authenticator.hasSecrets): // SCRAM, CRAM-MD5 and APOP
			missing = `an authenticator "file", or "ldap" with secret_attribute`
		}
		if missing != "" {
			d.errorf(p.At("mechanisms"), "Mechanism without source", "%q needs %s.", m, missing)
		}
	}
}

// hasSecrets reports whether a can have secrets that prove more than passwords.
func (a Authenticator) hasSecrets() bool {
	return a.Kind == "file" || a.Kind == "ldap" && a.has("secret_attribute")
}

func (d *decoder) checkAuthenticators(f *File) {
	used := false
	for _, a := range f.Authenticators {
		used = used || a.Kind == "certificate"
		if k := a.Kerberos; k != nil && k.Keytab == "" && f.Kerberos == nil {
			d.errorf(a.Header, "Missing keytab", "A KDC is believed only if it knows this server's key. Give a keytab here, or a kerberos block.")
		}
		if a.Kind == "certificate" && (f.TLS == nil || f.TLS.ClientCAFile == "") {
			d.errorf(a.Header, "No client certificates", "This authenticator needs client_ca_file in the tls block.")
		}
	}
	for _, l := range f.Listeners {
		used = used || l.ClientCertificates == CertificatesRequire
	}
	if !used && f.TLS != nil && f.TLS.ClientCAFile != "" {
		d.warnf(f.TLS.At("client_ca_file"), "Argument without effect", "No authenticator \"certificate\" uses client certificates, and no listener requires them.")
	}
}
