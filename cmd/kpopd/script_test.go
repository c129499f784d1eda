package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kpopd/testenv"
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
			e.Setenv("GORACE", os.Getenv("GORACE"))
			// What a script calls kpopd is this binary.
			bin := e.WorkDir + "/bin"
			if err := os.Mkdir(bin, 0o700); err != nil {
				return err
			}
			e.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			return os.Symlink(self, bin+"/kpopd")
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"pki": makePKI, "clientpki": makeClientPKI, "old": makeOld},
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

// makeClientPKI is the scripts' command that makes clients.pem, an authority
// for clients, and lists of what it has revoked: current.crl, ended.crl, and
// foreign.crl, which is signed by another of the same name.
func makeClientPKI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: clientpki")
	}
	ca, err := testenv.NewCA()
	ts.Check(err)
	other, err := testenv.NewCA()
	ts.Check(err)
	write := func(name string, text []byte, err error) {
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name), text, 0o600))
	}
	write("clients.pem", ca.PEM, nil)
	list, err := ca.CRL(testenv.Revoked{})
	write("current.crl", list, err)
	list, err = ca.CRL(testenv.Revoked{Until: time.Now().Add(-time.Minute)})
	write("ended.crl", list, err)
	list, err = other.CRL(testenv.Revoked{})
	write("foreign.crl", list, err)
}

// makeOld is the scripts' command that makes a file as old as its name says.
func makeOld(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: old FILE")
	}
	seconds, _, _ := strings.Cut(filepath.Base(args[0]), ".")
	n, err := strconv.ParseInt(seconds, 10, 64)
	ts.Check(err)
	ts.Check(os.Chtimes(ts.MkAbs(args[0]), time.Unix(n, 0), time.Unix(n, 0)))
}
