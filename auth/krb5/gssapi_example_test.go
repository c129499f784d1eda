package krb5_test

import (
	"fmt"

	"kpopd/auth"
	"kpopd/auth/krb5"
)

func ExampleGSSAPI() {
	keys, err := krb5.NewMint("EXAMPLE.TEST", "pop/localhost")
	if err != nil {
		fmt.Println(err)
		return
	}
	mechanisms := auth.Mechanisms{&krb5.GSSAPI{
		Acceptor: &krb5.Acceptor{Keys: keys, Replay: new(krb5.MemoryReplay)},
		Binding:  krb5.BindingAllow,
		Layers:   krb5.LayerNone | krb5.LayerConfidentiality,
	}}
	fmt.Println(mechanisms.Usable(auth.Peer{}), mechanisms.Usable(auth.Peer{Tickets: true}))
	// Output: [] [GSSAPI]
}
