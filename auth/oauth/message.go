package oauth

import (
	"fmt"
	"strings"

	"kpopd/auth"
)

// A message is what a client says in either mechanism.
type message struct {
	user  string      // the name that it asks to act as; "": none
	token auth.Secret // "": none
}

// maxMessage bounds what is parsed: a token and what stands around it.
const maxMessage = auth.MaxToken + 4096

// separator stands behind the header and behind each pair (RFC 7628 §3.1,
// kvsep).
const separator = "\x01"

var errMalformed = refuse("malformed", "a malformed message")

// parseOAuthBearer parses client-resp of RFC 7628 §3.1: a GS2 header and pairs
// of key and value. Host and port are passed over, as what is not known is:
// they are those of the client's side of a relay. A message without a token is
// one that asks where to get one (§4.3).
func parseOAuthBearer(b []byte) (message, error) {
	if len(b) > maxMessage {
		return message{}, errMalformed
	}
	header, pairs, ok := strings.Cut(string(b), separator)
	if !ok {
		return message{}, errMalformed
	}
	user, err := parseHeader(header)
	if err != nil {
		return message{}, err
	}
	fields, err := parsePairs(pairs)
	if err != nil {
		return message{}, err
	}
	token, err := parseAuth(fields["auth"])
	return message{user, token}, err
}

// parseHeader parses a GS2 header (RFC 5801 §4) and returns the authorization
// identity in it. There is no channel binding here, so that it does not matter
// whether the client could bind ("y") or not ("n").
func parseHeader(s string) (user string, err error) {
	flag, rest, ok := strings.Cut(s, ",")
	authzid, end, ok2 := strings.Cut(rest, ",")
	switch {
	case !ok || !ok2 || end != "":
		return "", errMalformed
	case strings.HasPrefix(flag, "p="):
		return "", refuse("channel-binding-unsupported", "a channel binding")
	case flag != "n" && flag != "y":
		return "", errMalformed
	case authzid == "" || authzid == "a=": // some clients write the latter
		return "", nil
	}
	name, ok := strings.CutPrefix(authzid, "a=")
	if !ok {
		return "", errMalformed
	}
	if user, ok = auth.UnescapeName(name); !ok {
		return "", errUser
	}
	return user, nil
}

var errUser = refuse("malformed-user", "a name that is none")

// parseXOAuth2 parses the message of Google's XOAUTH2: "user=" and the name,
// "auth=Bearer " and the token, in the pairs of OAUTHBEARER but without its
// header.
func parseXOAuth2(b []byte) (message, error) {
	if len(b) > maxMessage || !strings.HasPrefix(string(b), "user=") {
		return message{}, errMalformed
	}
	fields, err := parsePairs(string(b))
	if err != nil {
		return message{}, err
	}
	if !auth.IsName(fields["user"]) {
		return message{}, errUser
	}
	token, err := parseAuth(fields["auth"])
	return message{fields["user"], token}, err
}

// parsePairs parses *kvpair kvsep (RFC 7628 §3.1). What is there twice could
// mean one thing here and another elsewhere.
func parsePairs(s string) (map[string]string, error) {
	fields := map[string]string{}
	if s == separator {
		return fields, nil
	}
	s, ok := strings.CutSuffix(s, separator+separator)
	if !ok {
		return nil, errMalformed
	}
	for pair := range strings.SplitSeq(s, separator) {
		key, value, ok := strings.Cut(pair, "=")
		_, twice := fields[key]
		if !ok || twice || !isKey(key) || strings.ContainsFunc(value, isForbidden) {
			return nil, errMalformed
		}
		fields[key] = value
	}
	return fields, nil
}

func isKey(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}

// isForbidden reports whether a value may not hold r. Names in XOAUTH2 go
// beyond ASCII.
func isForbidden(r rune) bool {
	return r < ' ' && r != '\t' && r != '\r' && r != '\n' || r == 0x7f
}

// parseAuth parses the credentials of an HTTP Authorization header, whose
// scheme is of any case (RFC 9110 §11.1). What a token is made of is checked by
// the chain.
func parseAuth(s string) (auth.Secret, error) {
	if s == "" {
		return "", nil
	}
	scheme, token, _ := strings.Cut(s, " ")
	token = strings.Trim(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", refuse("malformed-token", "no bearer token")
	}
	return auth.Secret(token), nil
}

// refuse returns a refusal of what cannot be right.
func refuse(reason, text string) error {
	return auth.Refuse(fmt.Errorf("%w: %s", auth.ErrCredentials, text), reason)
}
