package scram

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"kpopd/auth"
)

// maxMessage bounds a message: two names of 255 octets, each a comma, and room
// for nonces and extensions.
const maxMessage = 4096

// errMalformed says that a message is not one of RFC 5802 §7.
var errMalformed = refuse("malformed", "not a message of RFC 5802")

func refuse(reason, text string) error {
	return auth.Refuse(fmt.Errorf("%w: %w", auth.ErrCredentials, errors.New(text)), reason)
}

// A clientFirst is client-first-message (RFC 5802 §7).
type clientFirst struct {
	flag    byte   // of gs2-cbind-flag: 'n', 'y' or 'p'
	binding string // cb-name, for 'p'
	header  string // gs2-header, as it came
	bare    string // client-first-message-bare
	authzid string
	user    string // not prepared
	nonce   string
}

// parseFirst parses client-first-message.
func parseFirst(b []byte) (m clientFirst, err error) {
	s, err := text(b)
	if err != nil {
		return m, err
	}
	flag, rest, ok := strings.Cut(s, ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 {
		return m, errMalformed
	}
	m.header, m.bare = s[:len(s)-len(bare)], bare
	if m.flag, m.binding, err = parseFlag(flag); err != nil {
		return m, err
	}
	if authzid != "" {
		if m.authzid, err = parseName(authzid, "a="); err != nil {
			return m, err
		}
	}
	fields := strings.Split(bare, ",")
	if strings.HasPrefix(fields[0], "m=") {
		return m, errMandatory
	}
	if len(fields) < 2 {
		return m, errMalformed
	}
	if m.user, err = parseName(fields[0], "n="); err != nil {
		return m, err
	}
	if m.nonce, err = parseNonce(fields[1]); err != nil {
		return m, err
	}
	return m, checkExtensions(fields[2:])
}

// text returns b as the text that every message is.
func text(b []byte) (string, error) {
	if len(b) > maxMessage || bytes.IndexByte(b, 0) >= 0 || !utf8.Valid(b) {
		return "", errMalformed
	}
	return string(b), nil
}

// parseFlag parses gs2-cbind-flag.
func parseFlag(s string) (flag byte, binding string, err error) {
	if s == "n" || s == "y" {
		return s[0], "", nil
	}
	name, ok := strings.CutPrefix(s, "p=")
	if !ok || name == "" || strings.ContainsFunc(name, notBindingName) {
		return 0, "", errMalformed
	}
	return 'p', name, nil
}

func notBindingName(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '.' && r != '-'
}

// parseName parses prefix and a saslname.
func parseName(s, prefix string) (string, error) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return "", errMalformed
	}
	if s == "" {
		return "", refuse("empty-user", "an empty name")
	}
	name, ok := auth.UnescapeName(s)
	if !ok {
		return "", refuse("malformed-user", "a name with a wrong escape, or that is none")
	}
	return name, nil
}

// parseNonce parses "r=" and printable characters.
func parseNonce(s string) (string, error) {
	nonce, ok := strings.CutPrefix(s, "r=")
	if !ok || strings.ContainsFunc(nonce, func(r rune) bool { return r < '!' || r > '~' }) {
		return "", errMalformed
	}
	if nonce == "" {
		return "", refuse("empty-nonce", "an empty nonce")
	}
	return nonce, nil
}

var errMandatory = refuse("mandatory-extension", "a mandatory extension")

// checkExtensions passes over what is not known (RFC 5802 §5.1) but "m=", which
// must not be, wherever it stands.
func checkExtensions(fields []string) error {
	for _, f := range fields {
		if len(f) < 3 || f[1] != '=' || (f[0]|0x20) < 'a' || (f[0]|0x20) > 'z' {
			return errMalformed
		}
		if f[0] == 'm' {
			return errMandatory
		}
	}
	return nil
}

// A clientFinal is client-final-message (RFC 5802 §7).
type clientFinal struct {
	binding      []byte // cbind-input
	nonce        string
	proof        []byte
	withoutProof string
}

// parseFinal parses client-final-message.
func parseFinal(b []byte) (m clientFinal, err error) {
	s, err := text(b)
	if err != nil {
		return m, err
	}
	fields := strings.Split(s, ",")
	n := len(fields)
	if n < 3 {
		return m, errMalformed
	}
	if m.binding, err = parseOctets(fields[0], "c="); err != nil {
		return m, err
	}
	if m.nonce, err = parseNonce(fields[1]); err != nil {
		return m, err
	}
	if m.proof, err = parseOctets(fields[n-1], "p="); err != nil {
		return m, err
	}
	m.withoutProof = s[:len(s)-len(fields[n-1])-1]
	return m, checkExtensions(fields[2 : n-1])
}

// parseOctets parses prefix and base64, of which it takes one spelling only.
func parseOctets(s, prefix string) ([]byte, error) {
	s, ok := strings.CutPrefix(s, prefix)
	if !ok || s == "" || strings.ContainsAny(s, "\r\n") { // which the decoder passes over
		return nil, errMalformed
	}
	octets, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errMalformed
	}
	return octets, nil
}
