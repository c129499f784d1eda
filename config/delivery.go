package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// A KnownBy is what makes an address somebody's, for whom mail is taken.
type KnownBy string

// The answers: an authenticator of the kind "file" or "ldap" knows him, or his
// maildrop is there; his maildrop is there; the account rules give him one.
const (
	KnownUsers     KnownBy = "users"
	KnownMaildrops KnownBy = "maildrops"
	KnownRules     KnownBy = "rules"
)

// A Delivery is what a listener for LMTP takes.
type Delivery struct {
	// MaxMessageSize is the largest message, in octets, 1MiB to 16GiB. Default:
	// 128MiB.
	MaxMessageSize int64
	// MaxRecipients is how many a message may have, 100 to 100000 (RFC 5321
	// §4.5.3.1.8). Default: 1000.
	MaxRecipients int
	// DataTimeout is how long a whole message may take to come, 1m to 1h.
	// Default: 10m.
	DataTimeout time.Duration
	// RecipientDelimiter are the characters of which the first in a local part
	// begins what is no part of the user's name. Default: "", none.
	RecipientDelimiter string
	// Recipients says who has mail here. Default: "users".
	Recipients KnownBy
	// OverQuota is "temporary", 452, or "permanent", 552, to a maildrop that is
	// full. Default: "temporary".
	OverQuota string
	// ShareMessages lets the recipients of one message have one file, which
	// names none of them. Default: false.
	ShareMessages bool
}

var defaultDelivery = Delivery{MaxMessageSize: 128 << 20, MaxRecipients: 1000, DataTimeout: 10 * time.Minute,
	Recipients: KnownUsers, OverQuota: "temporary"}

// deliveryFields are the names of the arguments that are for LMTP alone.
var deliveryFields = []string{"max_message_size", "max_recipients", "data_timeout", "recipient_delimiter", "recipients", "over_quota", "share_messages"}

func (v *Delivery) fields() []field {
	return []field{
		may("max_message_size", value(size(&v.MaxMessageSize, 1<<20, 16<<30))),
		// RFC 5321 §4.5.3.1.8: the minimum that must be taken.
		may("max_recipients", value(number(&v.MaxRecipients, 100, 100_000))),
		may("data_timeout", value(duration(&v.DataTimeout, time.Minute, time.Hour, ""))),
		may("recipient_delimiter", value(delimiters(&v.RecipientDelimiter))),
		may("recipients", value(oneOf(&v.Recipients, KnownUsers, KnownMaildrops, KnownRules))),
		may("over_quota", value(oneOf(&v.OverQuota, "temporary", "permanent"))),
		may("share_messages", value(boolean(&v.ShareMessages))),
	}
}

// delimiters takes characters that may stand in a local part.
func delimiters(dst *string) setter {
	const allowed = "+-=_.#!~^|"
	return text(func(v val, s string) *complaint {
		if s == "" || len(s) > len(allowed) || strings.Trim(s, allowed) != "" {
			return complain("It must be one or more of the characters %s.", allowed)
		}
		*dst = s
		return nil
	})
}

// mode takes the permissions of a socket, in octal.
func mode(dst *uint32) setter {
	return text(func(v val, s string) *complaint {
		n, err := strconv.ParseUint(s, 8, 32)
		if err != nil || n > 0o777 || n&0o111 != 0 || n&0o200 == 0 {
			return complain(`%s is not the mode of a socket such as "0660": octal, of which 2 lets connect.`, v.quote(s))
		}
		*dst = uint32(n)
		return nil
	})
}

// checkDelivering checks a listener for LMTP, and others for its arguments.
func (d *decoder) checkDelivering(f *File, l *Listener) {
	if l.Protocol != LMTP {
		for _, name := range deliveryFields {
			if l.has(name) {
				d.errorf(l.At(name), "Argument without effect", "Nobody delivers to a listener for %s.", l.Protocol)
			}
		}
		return
	}
	at := l.At("client_certificates")
	switch required := l.ClientCertificates == CertificatesRequire; {
	case l.TLS != TLSOff && f.TLS == nil: // which is said elsewhere
	case l.TLS != TLSOff && f.TLS.ClientCAFile == "" && (required || !l.Address.Local()):
		d.errorf(at, "No client certificates", "This needs client_ca_file in the tls block: nothing else tells who may deliver.")
	case l.ClientCertificates == CertificatesRequest:
		d.errorf(at, "Nobody logs in", "Nobody logs in to deliver: certificates are required, or there are none.")
	case l.TLS == TLSOff && l.has("client_certificates"):
		d.errorf(at, "No TLS here", "Clients show a certificate when TLS begins, and this listener does not speak it.")
	case l.Address.Local():
	case l.TLS == TLSOff:
		d.errorf(l.At("address"), "Delivery for everybody", "Whoever can connect can deliver whatever he likes. From other machines that takes TLS and a certificate "+
			"of the client (tls, client_ca_file); without, listen on a Unix socket or a loopback address.")
	case l.ClientCertificates == CertificatesNone:
		d.errorf(at, "Delivery for everybody", "Whoever can connect can deliver whatever he likes: from other machines that takes a certificate of the client.")
	}
}

// requiresCertificates is the default of a listener for LMTP: with TLS, clients
// from other machines show a certificate.
func (l *Listener) requiresCertificates() bool {
	return l.Protocol == LMTP && l.TLS != TLSOff && l.ClientCertificates == "" && !l.Address.Local()
}

// checkSocket checks what is for Unix sockets only.
func (d *decoder) checkSocket(l *Listener) {
	for _, name := range []string{"socket_mode", "socket_group"} {
		if l.has(name) && l.Address.Network == "tcp" {
			d.errorf(l.At(name), "Argument without effect", "It is for Unix sockets.")
		}
	}
}

// AsksDirectories reports whether a rule uses what only a directory knows of
// somebody who has proven nothing: attributes or groups.
func (f *File) AsksDirectories() bool {
	for i := range f.Accounts {
		a := &f.Accounts[i]
		for _, e := range []*Expression{a.when, a.maildrop} {
			if e != nil && (len(e.attrs) > 0 || slices.Contains(e.names, "groups")) {
				return true
			}
		}
	}
	return false
}

// checkQuotas checks that quotas can be kept.
func (d *decoder) checkQuotas(f *File) {
	if f.Maildrop.Kind != "mbox" {
		return
	}
	for i := range f.Accounts {
		for _, name := range []string{"quota", "quota_messages"} {
			if a := &f.Accounts[i]; a.has(name) {
				d.errorf(a.At(name), "Not for an mbox", "An mbox has no quota here: it is for maildrop \"maildir\".")
			}
		}
	}
}
