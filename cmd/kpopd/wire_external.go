package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"kpopd/auth"
	"kpopd/auth/clientcert"
	"kpopd/config"
	"kpopd/server"
)

// clientAuthorities loads those who sign certificates for clients, and what
// they have revoked.
func (b *builder) clientAuthorities() {
	t := b.file.TLS
	if t == nil || t.ClientCAFile == "" {
		return
	}
	a, err := clientcert.LoadAuthorities(t.ClientCAFile)
	if err != nil {
		b.fail(t.At("client_ca_file"), "The authorities cannot be used: %v", err)
		return
	}
	if err := a.LoadLists(t.ClientCRLFiles, b.log); err != nil {
		b.fail(t.At("client_crl_files"), "The revocation lists cannot be used: %v", err)
		return
	}
	for _, what := range a.Stale(time.Now()) {
		b.warn(t.At("client_crl_files"), "Nobody can log in by certificate: %s", what)
	}
	for _, cert := range a.All() {
		if time.Now().After(cert.NotAfter) {
			b.warn(t.At("client_ca_file"), "The authority %s expired on %s", cert.Subject, cert.NotAfter.Format(time.DateOnly))
		}
	}
	b.clients = a
}

// certificateUsers adds who is who by certificate. There is nothing about
// passwords in it.
func (b *builder) certificateUsers(a *config.Authenticator) auth.Authenticator {
	if b.clients != nil { // else it was complained of
		b.certs = append(b.certs, &clientcert.Users{
			Source: "certificate " + a.Name, From: a.Certificate.UserFrom, Authorities: b.clients})
	}
	return nil
}

func (b *builder) externalMechanism(string, bool) auth.Mechanism {
	if b.external == nil {
		return nil
	}
	return auth.External{Auth: b.external}
}

// ticketMechanisms are those of a KPOP listener: EXTERNAL, for whom the ticket
// has proven, unless the listener's own list leaves it out.
func ticketMechanisms(l *config.Listener) auth.Mechanisms {
	if l.Mechanisms != nil && !slices.Contains(l.Mechanisms, "EXTERNAL") {
		return nil
	}
	return auth.Mechanisms{auth.External{}}
}

// askClients has an endpoint that speaks TLS ask for certificates, if the
// listener should. One that is not good breaks TLS only where it is required:
// else TLS would fail without a reason that anybody is told of, and with it
// logins by other means.
func (b *builder) askClients(l *config.Listener, e *server.Endpoint) {
	mode := l.ClientCertificates
	if mode == "" && b.takesCertificates(l) {
		mode = config.CertificatesRequest
	}
	if mode == "" || mode == config.CertificatesNone || b.clients == nil || e.TLS == nil {
		return
	}
	e.CheckClient = b.checkClient()
	e.TLS = e.TLS.Clone()
	e.TLS.ClientAuth, e.TLS.ClientCAs = tls.RequestClientCert, x509.NewCertPool()
	for _, cert := range b.clients.All() { // which clients choose by
		e.TLS.ClientCAs.AddCert(cert)
	}
	if mode == config.CertificatesRequire {
		e.TLS.ClientAuth = tls.RequireAnyClientCert
		e.TLS.VerifyConnection = func(state tls.ConnectionState) error {
			if err := e.CheckClient(state.PeerCertificates); err != nil {
				return fmt.Errorf("%w: %w", server.ErrClientCertificate, err)
			}
			return nil
		}
	}
}

// takesCertificates reports whether EXTERNAL takes certificates at a listener,
// of the clients of any of its networks.
func (b *builder) takesCertificates(l *config.Listener) bool {
	if b.external == nil || l.Protocol == config.KPOP {
		return false
	}
	takes := func(n *config.Network) bool {
		names, _ := b.mechanisms(l, n)
		return names == nil || slices.Contains(names, "EXTERNAL")
	}
	any := takes(nil)
	for i := range l.Networks {
		any = any || takes(&l.Networks[i])
	}
	return any
}

// checkClient returns what judges a certificate when TLS begins: whether
// somebody could log in by it or, where nobody can by any, whether it is good.
func (b *builder) checkClient() func([]*x509.Certificate) error {
	certs, clients := b.certs, b.clients
	if len(certs) == 0 {
		return func(shown []*x509.Certificate) error { return clients.Verify(shown, time.Now()) }
	}
	return func(shown []*x509.Certificate) error {
		_, err := certs.Authenticate(context.Background(), auth.Peer{}, auth.Certificate{Chain: shown})
		return err
	}
}
