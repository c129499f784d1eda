package config

import (
	"crypto/tls"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A TLS says how to speak TLS, on every listener that does.
type TLS struct {
	Place

	// Certificates are what the server shows, at least one. Of several, the
	// client's SNI chooses; the first is for clients that send none.
	Certificates []Certificate
	// ClientCAFile holds the PEM certificates of the authorities whose client
	// certificates are accepted: roots, and what they have signed. Default: "",
	// clients are not asked for one.
	ClientCAFile string
	// ClientCRLFiles hold the lists of what these authorities have revoked, PEM
	// or DER. With any, each authority on the way to a client must have one
	// that is current, or nobody it signed for is let in. Default: nil, nothing
	// is revoked.
	ClientCRLFiles []string
	// MinVersion is "1.2" or "1.3", here as crypto/tls numbers it. Default:
	// "1.2" (RFC 8314 §4.1).
	MinVersion uint16
}

// A Certificate is a certificate block: a PEM chain, the server's own
// certificate first, and its key. Both are required.
type Certificate struct {
	Place

	CertFile, KeyFile string
}

func (f *File) readTLS(d *decoder, b *hclsyntax.Block) {
	t := &TLS{MinVersion: tls.VersionTLS12}
	version := "1.2"
	t.Place = d.block(b, schema{
		what: "tls",
		fields: []field{
			may("client_ca_file", value(path(&t.ClientCAFile))),
			may("client_crl_files", value(list(&t.ClientCRLFiles, path))),
			may("min_version", value(oneOf(&version, "1.2", "1.3"))),
		},
		blocks: []block{{name: "certificate", required: true, read: t.readCertificate}},
	})
	if version == "1.3" {
		t.MinVersion = tls.VersionTLS13
	}
	if t.has("client_crl_files") && !t.has("client_ca_file") {
		d.errorf(t.At("client_crl_files"), "Missing argument", "client_crl_files needs client_ca_file, whose authorities sign the lists.")
	}
	f.TLS = t
}

func (t *TLS) readCertificate(d *decoder, b *hclsyntax.Block) {
	var c Certificate
	c.Place = d.block(b, schema{what: "certificate", fields: []field{
		must("cert_file", value(path(&c.CertFile))),
		must("key_file", value(path(&c.KeyFile))),
	}})
	t.Certificates = append(t.Certificates, c)
}
