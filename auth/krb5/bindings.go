package krb5

import (
	"crypto"
	"crypto/hmac"
	"crypto/md5"
	_ "crypto/sha256" // for crypto.Hash.New
	_ "crypto/sha512" // for crypto.Hash.New
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"

	"kpopd/auth"
)

// A BindingMode says how a ticket has to be bound to the TLS connection that it
// comes over, which is what keeps somebody in the middle from passing it on.
type BindingMode int

const (
	// BindingAllow takes clients that send no channel binding; one that is
	// sent must fit the connection.
	BindingAllow BindingMode = iota
	// BindingNone ignores channel bindings, for servers behind something that
	// ends TLS in front of them.
	BindingNone
	// BindingRequire takes only clients that bind to this connection, and
	// offers nothing without TLS.
	BindingRequire
)

// ParseBindingMode returns the mode called "allow", "none" or "require".
func ParseBindingMode(name string) (BindingMode, error) {
	switch name {
	case "allow":
		return BindingAllow, nil
	case "none":
		return BindingNone, nil
	case "require":
		return BindingRequire, nil
	}
	return 0, fmt.Errorf("krb5: no channel binding mode %q", name)
}

// check compares the initiator's bindings, all zero for none, with what p's
// connection allows.
func (m BindingMode) check(sent [16]byte, p auth.Peer) error {
	switch {
	case m == BindingNone:
		return nil
	case sent == [16]byte{} && m == BindingRequire:
		return refuseGSS("channel-binding-missing", "the client sent no channel binding")
	case sent == [16]byte{}:
		return nil
	}
	for _, data := range channelBindings(p) {
		sum := hashBindings(data)
		if hmac.Equal(sum[:], sent[:]) {
			return nil
		}
	}
	return refuseGSS("channel-binding-mismatch", "the channel binding is for another connection")
}

// hashBindings is Bnd of RFC 4121 §4.1.1.2: MD5 over gss_channel_bindings_struct
// with no addresses and data as application data.
func hashBindings(data []byte) [16]byte {
	b := make([]byte, 16, 20+len(data))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return md5.Sum(append(b, data...))
}

// channelBindings returns all bindings of p's connection with their prefixes
// (RFC 5056 §2.1): of the certificate, and of the connection itself.
func channelBindings(p auth.Peer) [][]byte {
	if p.TLS == nil {
		return nil
	}
	var all [][]byte
	if hash := endPoint(p.Certificate); hash != nil {
		all = append(all, append([]byte("tls-server-end-point:"), hash...))
	}
	for _, context := range exporterContexts(p.TLS.Version) {
		// An error says that RFC 9266 §4 forbids it: TLS 1.2 without an
		// extended master secret.
		key, err := p.TLS.ExportKeyingMaterial("EXPORTER-Channel-Binding", context, 32)
		if err == nil {
			all = append(all, append([]byte("tls-exporter:"), key...))
		}
	}
	if p.TLS.TLSUnique != nil { // RFC 5929 §3; nil in TLS 1.3
		all = append(all, append([]byte("tls-unique:"), p.TLS.TLSUnique...))
	}
	return all
}

// exporterContexts returns the contexts for tls-exporter. RFC 9266 §2 wants
// the empty one. In TLS 1.2 this is not the same as none (RFC 5705 §4), which
// GnuTLS uses.
func exporterContexts(version uint16) [][]byte {
	if version == tls.VersionTLS12 {
		return [][]byte{{}, nil}
	}
	return [][]byte{{}}
}

// endPoint is tls-server-end-point (RFC 5929 §4.1): the certificate's hash by
// the hash function of its signature, SHA-256 in place of MD5 and SHA-1. It is
// not defined for signatures such as Ed25519.
func endPoint(cert *x509.Certificate) []byte {
	if cert == nil {
		return nil
	}
	var hash crypto.Hash
	switch cert.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.DSAWithSHA256, x509.ECDSAWithSHA256:
		hash = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		hash = crypto.SHA512
	default:
		return nil
	}
	h := hash.New()
	h.Write(cert.Raw)
	return h.Sum(nil)
}
