package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"time"

	"kpopd/config"
	"kpopd/server"
)

// tls loads the certificates. nil: there is no TLS, or an error was noted.
func (b *builder) tls() *tls.Config {
	t := b.file.TLS
	if t == nil {
		return nil
	}
	var certs []tls.Certificate
	for _, c := range t.Certificates {
		if cert, ok := b.certificate(c); ok {
			certs = append(certs, cert)
		}
	}
	if len(certs) == 0 {
		return nil
	}
	return server.TLSConfig(certs, t.MinVersion)
}

func (b *builder) certificate(c config.Certificate) (tls.Certificate, bool) {
	cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		at := "cert_file"
		if e, ok := errors.AsType[*fs.PathError](err); ok && e.Path == c.KeyFile {
			at = "key_file"
		}
		b.fail(c.At(at), "The certificate cannot be loaded: %v", err)
		return cert, false
	}
	if info, err := os.Stat(c.KeyFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		b.warn(c.At("key_file"), "Everybody on this machine may read or change the private key %s (mode %04o)", c.KeyFile, info.Mode().Perm())
	}
	b.expiry(c, cert.Leaf)
	return cert, true
}

func (b *builder) expiry(c config.Certificate, leaf *x509.Certificate) {
	switch left := time.Until(leaf.NotAfter); {
	case left < 0:
		b.warn(c.At("cert_file"), "The certificate expired on %s", leaf.NotAfter.Format(time.DateOnly))
	case left < 14*24*time.Hour:
		b.warn(c.At("cert_file"), "The certificate expires on %s", leaf.NotAfter.Format(time.DateOnly))
	}
	if leaf.VerifyHostname(b.file.Hostname) != nil {
		b.warn(c.At("cert_file"), "The certificate does not name %s", b.file.Hostname)
	}
}

func (b *builder) warn(at config.Range, format string, args ...any) {
	b.errs = append(b.errs, b.file.Warnf(at, format, args...))
}
