package pop3_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"strings"

	"kpopd/auth"
	"kpopd/maildrop"
	"kpopd/maildrop/memory"
	"kpopd/server"
	"kpopd/server/pop3"
)

// only vouches for one user with one password.
type only auth.Password

func (o only) Authenticate(_ context.Context, _ auth.Peer, c auth.Credential) (auth.Identity, error) {
	switch p, ok := c.(auth.Password); {
	case !ok || p.User != o.User:
		return auth.Identity{}, auth.ErrUnknown
	case p.Secret != o.Secret:
		return auth.Identity{}, auth.ErrCredentials
	}
	return auth.Identity{User: o.User, Source: "example"}, nil
}

// A server needs a way to prove somebody, the rules that give him a maildrop,
// a lock and a store.
func ExampleHandler() {
	var store memory.Store
	var locker memory.Locker
	store.Deliver(context.Background(), "alice", strings.NewReader("Subject: hello\n\nHow do you do?\n"))
	accounts := auth.Accounts{{Maildrop: func(id auth.Identity, _ auth.Peer) (string, error) {
		return strings.ToLower(id.User), nil
	}}}
	handler := &pop3.Handler{
		Hostname: "pop.example.test",
		Auth:     auth.Chain{only{User: "alice", Secret: "wonderland"}},
		Clear:    pop3.ClearAny, // or passwords wait for TLS
		Grant: func(_ context.Context, id auth.Identity, p auth.Peer) (auth.Grant, error) {
			return accounts.Decide(id, p, nil)
		},
		Open: func(ctx context.Context, g auth.Grant) (*maildrop.Drop, error) {
			return maildrop.Open(ctx, g.Maildrop, &locker, &store)
		},
	}
	endpoint := &server.Endpoint{Name: "pop3", Handler: handler}

	srv := &server.Server{Log: slog.New(slog.DiscardHandler)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(context.Background(), l, func() *server.Endpoint { return endpoint }) }()

	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	io.WriteString(client, "USER alice\r\nPASS wonderland\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n")
	for s := bufio.NewScanner(client); s.Scan(); {
		fmt.Println(s.Text())
	}
	client.Close()
	srv.Shutdown(context.Background())
	<-done
	// Output:
	// +OK pop.example.test POP3 server ready
	// +OK Send PASS
	// +OK 1 messages (34 octets)
	// +OK 34 octets
	// Subject: hello
	//
	// How do you do?
	// .
	// +OK Message 1 is marked
	// +OK Bye
}
