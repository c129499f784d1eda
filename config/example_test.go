package config_test

import (
	"fmt"
	"os"

	"kpopd/config"
)

func ExampleParse() {
	text := `
hostnam = "pop.example.com"

maildrop "maildir" {
  path = "/srv/mail/${maildrop}/Maildir"
}
`
	_, diags := config.Parse("kpopd.hcl", []byte(text))
	fmt.Println(diags[len(diags)-1])
	// Output: kpopd.hcl:2: Unsupported argument; There is no argument "hostnam". Did you mean "hostname"?
}

func ExampleLoad() {
	f, diags := config.Load("example.hcl")
	diags.WriteText(os.Stderr, 80, false)
	if f == nil {
		return
	}
	for _, l := range f.Listeners {
		fmt.Println(l.Name, l.Address, l.TLS)
	}
	// Output:
	// pop3 :110 starttls
	// pop3s :995 implicit
	// kpop :1109 starttls
}

func ExampleAccount() {
	f, _ := config.Load("example.hcl")
	facts := config.Facts{User: "bob@PARTNER.EXAMPLE", Principal: "bob@PARTNER.EXAMPLE", Realm: "PARTNER.EXAMPLE"}
	for i := range f.Accounts {
		a := &f.Accounts[i]
		if err := a.Match(facts); err != nil {
			continue
		}
		name, err := a.MaildropName(facts)
		fmt.Println(name, err)
		rel, err := f.Maildrop.RelPath(name)
		fmt.Println(f.Maildrop.Root, rel, err)
		break
	}
	// Output:
	// partner/bob <nil>
	// /srv/mail partner/bob/Maildir <nil>
}
