package auth

import (
	"crypto"
	_ "crypto/sha256" // for crypto.Hash.New
	_ "crypto/sha512" // for crypto.Hash.New
	"crypto/tls"
	"crypto/x509"
)

// The types of channel binding that a connection can have, by their registered
// names.
const (
	BindingEndPoint = "tls-server-end-point" // RFC 5929 §4: the server's certificate
	BindingExporter = "tls-exporter"         // RFC 9266: the connection
	BindingUnique   = "tls-unique"           // RFC 5929 §3: the connection, up to TLS 1.2
)

// Bindings returns the data of p's channel binding of a type, without the
// prefix of RFC 5056 §2.1. There may be more than one spelling of the same,
// and there is none without TLS, for an unknown type, and where the type is
// not defined or not safe for this connection.
func (p Peer) Bindings(kind string) [][]byte {
	if p.TLS == nil {
		return nil
	}
	switch kind {
	case BindingEndPoint:
		if hash := endPoint(p.Certificate); hash != nil {
			return [][]byte{hash}
		}
	case BindingExporter:
		return exporters(p.TLS)
	case BindingUnique:
		// nil in TLS 1.3, and for a session resumed without an extended master
		// secret, which can be made to have the same value as another.
		if p.TLS.TLSUnique != nil {
			return [][]byte{p.TLS.TLSUnique}
		}
	}
	return nil
}

// exporters returns what tls-exporter may be. RFC 9266 §2 wants the empty
// context. In TLS 1.2 this is not the same as none (RFC 5705 §4), which GnuTLS
// uses.
func exporters(state *tls.ConnectionState) [][]byte {
	contexts := [][]byte{{}}
	if state.Version == tls.VersionTLS12 {
		contexts = append(contexts, nil)
	}
	var all [][]byte
	for _, context := range contexts {
		// An error says that RFC 9266 §4 forbids it: TLS 1.2 without an
		// extended master secret.
		if key, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", context, 32); err == nil {
			all = append(all, key)
		}
	}
	return all
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
