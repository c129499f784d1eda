package scram

// SetNonce makes the server's part of all nonces s.
func (m *Mechanism) SetNonce(s string) { m.nonce = func() string { return s } }

// ParseFirst and ParseFinal are the parsers, with what they found.
func ParseFirst(b []byte) (user, authzid, nonce, header, bare string, err error) {
	m, err := parseFirst(b)
	return m.user, m.authzid, m.nonce, m.header, m.bare, err
}

func ParseFinal(b []byte) (binding []byte, nonce string, proof []byte, withoutProof string, err error) {
	m, err := parseFinal(b)
	return m.binding, m.nonce, m.proof, m.withoutProof, err
}
