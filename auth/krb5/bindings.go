package krb5

import (
	"crypto/hmac"
	"crypto/md5"
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
	var all [][]byte
	for _, kind := range []string{auth.BindingEndPoint, auth.BindingExporter, auth.BindingUnique} {
		for _, data := range p.Bindings(kind) {
			all = append(all, append([]byte(kind+":"), data...))
		}
	}
	return all
}
