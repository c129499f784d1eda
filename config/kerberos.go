package config

import (
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
	k := &Kerberos{Service: "pop", ChannelBinding: BindAllow, SecurityLayers: layers, MaxSkew: 5 * time.Minute}
	layer := func(dst *SecurityLayer) setter { return oneOf(dst, layers...) }
	k.Place = d.block(b, schema{what: "kerberos", fields: []field{
		must("keytab", value(path(&k.Keytab))),
		may("service", value(principalPart(&k.Service))),
		may("realms", value(list(&k.Realms, principalPart))),
		may("channel_binding", value(oneOf(&k.ChannelBinding, BindNone, BindAllow, BindRequire))),
		may("security_layers", value(list(&k.SecurityLayers, layer))),
		may("max_skew", value(duration(&k.MaxSkew, time.Second, 15*time.Minute, ""))),
		may("auth_to_local", value(list(&k.AuthToLocal, str))),
		may("auth_to_local_file", value(path(&k.AuthToLocalFile))),
	}})
	f.Kerberos = k
}

// translates reports whether there are local names.
func (k *Kerberos) translates() bool {
	return k != nil && (k.AuthToLocal != nil || k.AuthToLocalFile != "")
}
