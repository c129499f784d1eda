package ldap_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"kpopd/auth"
	"kpopd/auth/ldap"
)

func ExampleNew() {
	d, err := ldap.New(ldap.Config{
		URLs:         []string{"ldaps://dc1.corp.example", "ldaps://dc2.corp.example"},
		BindDN:       "cn=kpopd,ou=services,dc=corp,dc=example",
		BindPassword: func() (auth.Secret, error) { return auth.Secret(os.Getenv("LDAP_PASSWORD")), nil },
		BaseDN:       "ou=people,dc=corp,dc=example",
		Filter: func(id auth.Identity, escape func(string) string) (string, error) {
			return "(uid=" + escape(id.User) + ")", nil
		},
		Attributes: []string{"mailbox"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()
	// An empty password never reaches the directory.
	_, err = d.Authenticate(context.Background(), auth.Peer{}, auth.Password{User: "alice", Secret: ""})
	fmt.Println(auth.Reason(err), strings.Contains(fmt.Sprint(err), "wrong credentials"))
	// Output: malformed-password true
}
