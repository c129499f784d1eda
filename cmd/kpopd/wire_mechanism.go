package main

import (
	"kpopd/auth"
	"kpopd/auth/krb5"
	"kpopd/config"
	"kpopd/server/pop3"
)

// An offer is a SASL mechanism as the configuration names it.
type offer struct {
	// build returns the mechanism called name, nil if what it needs is not
	// configured. named: the configuration names it.
	build func(b *builder, name string, named bool) auth.Mechanism
	needs string // what it needs, for the error
}

const (
	needsPasswords = "an authenticator that has passwords"
	needsSecrets   = "an authenticator that has secrets: a file of users, or a directory with secret_attribute"
	needsKerberos  = "a kerberos block"
	needsTokens    = "an authenticator that takes tokens"
	needsClients   = `an authenticator "certificate"`
)

// offers are the mechanisms of this release but APOP, which is a command of
// its own.
var offers = map[string]offer{
	"GSSAPI":             {(*builder).gssapi, needsKerberos},
	"GSS-SPNEGO":         {(*builder).spnego, needsKerberos},
	"SCRAM-SHA-256-PLUS": {(*builder).scram, needsSecrets},
	"SCRAM-SHA-256":      {(*builder).scram, needsSecrets},
	"SCRAM-SHA-1-PLUS":   {(*builder).scram, needsSecrets},
	"SCRAM-SHA-1":        {(*builder).scram, needsSecrets},
	"CRAM-MD5":           {(*builder).cram, needsSecrets},
	"OAUTHBEARER":        {(*builder).bearer, needsTokens},
	"XOAUTH2":            {(*builder).bearer, needsTokens},
	"EXTERNAL":           {(*builder).externalMechanism, needsClients},
	"PLAIN":              {(*builder).plain, needsPasswords},
	"LOGIN":              {(*builder).login, needsPasswords},
}

// safe are the mechanisms offered where none are named, in the order of
// preference. GSSAPI comes first, for fetchmail's short sight (see pop3's
// CAPA). SCRAM with SHA-1, CRAM-MD5 and LOGIN are for those who name them.
var safe = []string{"GSSAPI", "EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN"}

// proofs sets what a POP3 listener takes as proof from the clients of a
// network, or from those of none where n is nil. USER and PASS go with
// PLAIN, which shows the same secret; APOP is taken only where it is named.
func (b *builder) proofs(l *config.Listener, n *config.Network, h *pop3.Handler) {
	names, at := b.mechanisms(l, n)
	named := names != nil
	if !named {
		names = safe
	}
	h.NoUser = true
	for _, name := range names {
		b.proof(h, name, named, at)
	}
	besides(h.Mechanisms)
}

// mechanisms returns what is named for the clients of a network, nil where
// nothing is, and where: for it, for its listener, or for all.
func (b *builder) mechanisms(l *config.Listener, n *config.Network) ([]string, config.Range) {
	switch {
	case n != nil && n.Mechanisms != nil:
		return n.Mechanisms, n.At("mechanisms")
	case l.Mechanisms != nil:
		return l.Mechanisms, l.At("mechanisms")
	}
	return b.file.Mechanisms, b.file.At("mechanisms")
}

// proof adds one mechanism to those of a listener. named: the configuration
// names it, at a place, so that it must be there.
func (b *builder) proof(h *pop3.Handler, name string, named bool, at config.Range) {
	if name == "APOP" {
		if len(b.keys) == 0 {
			b.fail(at, "The mechanism %s needs %s", name, needsSecrets)
			return
		}
		h.Auth, h.Timestamp = b.auth, pop3.NewTimestamp(b.file.Hostname)
		return
	}
	o, ok := offers[name]
	if !ok {
		b.absent(at, "The mechanism "+name)
		return
	}
	mech := o.build(b, name, named)
	switch {
	case mech != nil:
		h.Mechanisms = append(h.Mechanisms, mech)
		if named {
			b.useless(at, name)
		}
	case named:
		b.fail(at, "The mechanism %s needs %s", name, o.needs)
	}
	if name == "PLAIN" && b.auth != nil {
		h.Auth, h.NoUser = b.auth, false
	}
}

func (b *builder) plain(string, bool) auth.Mechanism {
	if b.auth == nil {
		return nil
	}
	return &auth.Plain{Auth: b.auth}
}

func (b *builder) login(string, bool) auth.Mechanism {
	if b.auth == nil {
		return nil
	}
	return auth.Login{Auth: b.auth}
}

// cram returns CRAM-MD5. Its challenge is what APOP's timestamp is: of this
// process, and never the same.
func (b *builder) cram(string, bool) auth.Mechanism {
	if len(b.keys) == 0 {
		return nil
	}
	return auth.CRAM{Auth: b.auth, Challenge: pop3.NewTimestamp(b.file.Hostname)}
}

func (b *builder) gssapi(string, bool) auth.Mechanism {
	if g := b.kerberosMechanism(); g != nil {
		return g
	}
	return nil
}

func (b *builder) spnego(string, bool) auth.Mechanism {
	if g := b.kerberosMechanism(); g != nil {
		return &krb5.SPNEGO{GSSAPI: g}
	}
	return nil
}

// kerberosMechanism returns nil where there is no Kerberos.
func (b *builder) kerberosMechanism() *krb5.GSSAPI {
	if b.accept == nil {
		return nil
	}
	k := b.file.Kerberos
	var layers []string
	for _, l := range k.SecurityLayers {
		layers = append(layers, string(l))
	}
	set, err := krb5.ParseLayers(layers)
	if err != nil {
		b.fail(k.At("security_layers"), "%v", err)
	}
	binding, err := krb5.ParseBindingMode(string(k.ChannelBinding))
	if err != nil {
		b.fail(k.At("channel_binding"), "%v", err)
	}
	return &krb5.GSSAPI{Acceptor: b.accept, Binding: binding, Layers: set}
}
