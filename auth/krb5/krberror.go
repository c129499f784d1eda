package krb5

import (
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
)

// krbError returns a KRB-ERROR (RFC 4120 §5.9.1). The text has no NUL behind
// it: fetchmail would print it.
func krbError(code int32, service Principal, text string) []byte {
	now := time.Now().UTC()
	msg := krbErrorMsg{
		PVNO:    kerberosVersion,
		MsgType: msgtype.KRB_ERROR,
		STime:   now,
		Susec:   now.Nanosecond() / 1000,
		Code:    code,
		Realm:   service.Realm,
		SName:   service.name(),
		EText:   text,
	}
	b, err := marshalApp(asnAppTag.KRBError, msg)
	if err != nil { // strings, integers and the present: always encodable
		panic("krb5: encode KRB-ERROR: " + err.Error())
	}
	return b
}

// errorMessage returns the KRB-ERROR for a refusal. It names the acceptor's
// own service, not what the client claimed to ask for.
func (a *Acceptor) errorMessage(err error) []byte {
	own := Principal{Components: []string{a.service()}}
	if a.Keys != nil {
		own = a.Keys.Keys().servicePrincipal(a.service())
	}
	code, text := errorCode(err)
	return krbError(code, own, text)
}

// servicePrincipal returns a principal of the service, the first by its text,
// or one without instance and realm where the set has none.
func (s *KeySet) servicePrincipal(service string) Principal {
	if s != nil {
		for _, p := range s.principals {
			if p.Components[0] == service {
				return p
			}
		}
	}
	return Principal{Components: []string{service}}
}
