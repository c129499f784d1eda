package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs testdata/*.txt: the program as its users run it.
func TestScripts(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv(asKpopd, "1")
			// What a script calls kpopd is this binary.
			bin := e.WorkDir + "/bin"
			if err := os.Mkdir(bin, 0o700); err != nil {
				return err
			}
			e.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			return os.Symlink(self, bin+"/kpopd")
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"pki": makePKI},
	})
}

// makePKI is the scripts' command that makes tls.crt, tls.key and ca.pem for
// a host in the working directory.
func makePKI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pki HOST")
	}
	ts.Check(writeCertificates(ts.MkAbs("."), args[0]))
}
