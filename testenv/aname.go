package testenv

import (
	"context"
	"os"
	"strings"
)

// Aname compiles sendauth/aname.c, which asks MIT's libkrb5 for local names, and
// returns the program. [LocalNames] runs it.
func Aname(t TB) string {
	t.Helper()
	return compile(t, "aname")
}

// LocalNames returns what the program that [Aname] returned says of principals
// by the krb5.conf at conf: "=NAME" each, or "-" for none.
func LocalNames(t TB, program, conf string, principals []string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	env := append(os.Environ(), "KRB5_CONFIG="+conf)
	out, err := output(ctx, env, strings.Join(principals, "\n")+"\n", program)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}
