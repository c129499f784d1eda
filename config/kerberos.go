package config

import (
	"regexp"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A ChannelBinding says what GSSAPI asks of clients on TLS (RFC 5929).
type ChannelBinding string

// None ignores what a client binds to; Allow refuses a wrong binding; Require
// refuses a missing one too.
const (
	BindNone    ChannelBinding = "none"
	BindAllow   ChannelBinding = "allow"
	BindRequire ChannelBinding = "require"
)

// A SecurityLayer is one of SASL GSSAPI (RFC 4752 §3.3).
type SecurityLayer string

// The security layers.
const (
	LayerNone            SecurityLayer = "none"
	LayerIntegrity       SecurityLayer = "integrity"
	LayerConfidentiality SecurityLayer = "confidentiality"
)

// A PACMode says what is done with what Active Directory writes into tickets
// about their clients.
type PACMode string

// Ignore looks at no PAC; IfValid uses one that is there and right; Require
// takes only tickets that have such a one.
const (
	PACIgnore  PACMode = "ignore"
	PACIfValid PACMode = "use-if-valid"
	PACRequire PACMode = "require"
)

// A Kerberos says how tickets are accepted, for KPOP and GSSAPI.
type Kerberos struct {
	Place

	// Keytab is the file of the service's keys. Required.
	Keytab string
	// Service is the first component of the service's principals: tickets for
	// pop/<any host in the keytab> only. Default: "pop".
	Service string
	// Realms are the realms of the clients that are let in. Default: nil, the
	// realms of the keytab.
	Realms []string
	// ChannelBinding is "none", "allow" or "require". Default: "allow".
	ChannelBinding ChannelBinding
	// SecurityLayers are "none", "integrity" and "confidentiality", those that
	// GSSAPI offers. Default: all of them.
	SecurityLayers []SecurityLayer
	// MaxSkew is by how much a client's clock may differ, 1s to 15m. Default:
	// 5m (RFC 4120 §8.2). Authenticators are remembered for twice as long.
	MaxSkew time.Duration
	// PAC is "ignore", "use-if-valid" or "require". Default: "use-if-valid".
	PAC PACMode
	// DomainSIDs are those of the domains of the keytab's realms, for which no
	// client of another realm may speak. Default: nil, the PACs of other
	// realms are not used.
	DomainSIDs []string
	// AuthToLocal are MIT's rules for the local names of principals, "DEFAULT"
	// or "RULE:…" (krb5.conf(5)): the first that applies makes local_user, and
	// where no account rule matches, that is the maildrop. Default: nil, none.
	AuthToLocal []string
	// AuthToLocalFile is a krb5.conf with more of them, those of the keytab's
	// realm, which come behind. Default: "", none.
	AuthToLocalFile string
}

func (f *File) readKerberos(d *decoder, b *hclsyntax.Block) {
	layers := []SecurityLayer{LayerNone, LayerIntegrity, LayerConfidentiality}
	k := &Kerberos{Service: "pop", ChannelBinding: BindAllow, SecurityLayers: layers, MaxSkew: 5 * time.Minute, PAC: PACIfValid}
	layer := func(dst *SecurityLayer) setter { return oneOf(dst, layers...) }
	k.Place = d.block(b, schema{what: "kerberos", fields: []field{
		must("keytab", value(path(&k.Keytab))),
		may("service", value(principalPart(&k.Service))),
		may("realms", value(list(&k.Realms, principalPart))),
		may("channel_binding", value(oneOf(&k.ChannelBinding, BindNone, BindAllow, BindRequire))),
		may("security_layers", value(list(&k.SecurityLayers, layer))),
		may("max_skew", value(duration(&k.MaxSkew, time.Second, 15*time.Minute, ""))),
		may("pac", value(oneOf(&k.PAC, PACIgnore, PACIfValid, PACRequire))),
		may("domain_sids", value(list(&k.DomainSIDs, domainSID))),
		may("auth_to_local", value(list(&k.AuthToLocal, str))),
		may("auth_to_local_file", value(path(&k.AuthToLocalFile))),
	}})
	f.Kerberos = k
}

// translates reports whether there are local names.
func (k *Kerberos) translates() bool {
	return k != nil && (k.AuthToLocal != nil || k.AuthToLocalFile != "")
}

// domainSIDs are written as Windows does: "S-1-5-21-" and three numbers of 32
// bits.
var domainSIDs = regexp.MustCompile(`^S-1-5-21(-(0|[1-9][0-9]{0,9})){3}$`)

func domainSID(dst *string) setter {
	return text(func(v val, s string) *complaint {
		if !domainSIDs.MatchString(s) {
			return complain(`It must be the SID of a domain, such as "S-1-5-21-1004336348-1177238915-682003330".`)
		}
		*dst = s
		return nil
	})
}
