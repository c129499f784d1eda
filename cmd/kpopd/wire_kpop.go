package main

import (
	"context"
	"errors"
	"fmt"

	"kpopd/auth"
	"kpopd/auth/krb5"
	"kpopd/server"
	"kpopd/server/pop3"
)

// kpopVersion is the application version that every KPOP client of Kerberos 5
// announces in its sendauth exchange.
const kpopVersion = "KPOPV1.0"

// admitKPOP proves the client of a KPOP listener by the ticket that it sends
// first.
func admitKPOP(a *krb5.Acceptor) func(context.Context, *server.Conn, auth.Peer) (auth.Identity, error) {
	return func(ctx context.Context, c *server.Conn, p auth.Peer) (auth.Identity, error) {
		id, err := a.RecvAuth(ctx, c, kpopVersion, p)
		return id, kpopReply(err)
	}
}

// kpopReply gives what was no sendauth exchange the words that such a client
// shows to its user, or none where a text would be read as something else.
func kpopReply(err error) error {
	for _, r := range [...]struct {
		is     error
		text   pop3.Text
		reason string
	}{
		{krb5.ErrKerberos4, "Kerberos 4 is not supported here, use Kerberos 5", "kerberos-4"},
		{krb5.ErrNotKerberos, "Kerberos required on this port", "no-ticket"},
		{krb5.ErrSendauthVersion, "This version of sendauth is not supported here", "sendauth-version"},
		{krb5.ErrAppVersion, "This version of KPOP is not supported here", "kpop-version"},
		{krb5.ErrTLSHello, "", "tls-hello"},
		{krb5.ErrFrame, "", "bad-frame"},
	} {
		if errors.Is(err, r.is) {
			cause := auth.Refuse(fmt.Errorf("%w: %w", auth.ErrCredentials, err), r.reason)
			return &pop3.Error{Code: pop3.CodeSysPerm, Text: r.text, Err: cause}
		}
	}
	return err
}
