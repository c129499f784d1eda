package scram_test

import (
	"context"
	"fmt"

	"kpopd/auth"
	"kpopd/auth/scram"
)

// The mechanisms of a listener: one with channel binding, and one for clients
// that cannot bind, which refuses those that can and were told that the server
// cannot.
func ExampleMechanism() {
	keys := only{"user", keysOf(scram.SHA256, "pencil", []byte("sixteen octets.."), 4096)}
	secret := []byte("32 random octets from a file")
	plus := &scram.Mechanism{Hash: scram.SHA256, Plus: true, Keys: keys, Secret: secret}
	mechanisms := auth.Mechanisms{plus, &scram.Mechanism{
		Hash: scram.SHA256, Keys: keys, Secret: secret, PlusOffered: plus.Usable,
	}}

	p := auth.Peer{Protected: true} // no TLS, on loopback for instance
	fmt.Println(mechanisms.Usable(p))
	x := mechanisms.Find("SCRAM-SHA-256", p).Start(context.Background(), p)
	c := &client{hash: scram.SHA256, user: "user", password: "pencil", flag: "n"}
	_, response, _ := c.Start()
	for done := false; !done; {
		var challenge []byte
		var err error
		if challenge, done, err = x.Next(response); err != nil {
			fmt.Println(err)
			return
		}
		response, _ = c.Next(challenge)
	}
	fmt.Println(x.Identity().User)
	// Output:
	// [SCRAM-SHA-256]
	// user
}
