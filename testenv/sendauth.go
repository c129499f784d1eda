package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Sendauth compiles sendauth/sendauth.c, a KPOP client on MIT's own libkrb5,
// and returns the program. The head of its source describes its options;
// [Clients.RunSendauth] runs it.
func Sendauth(t TB) string {
	t.Helper()
	return compile(t, "sendauth")
}

// Recvauth compiles sendauth/recvauth.c, the smallest KPOP server on MIT's
// libkrb5, starts it with a keytab and returns its address. It expects the
// application version KPOPV1.0 and lives as long as the test.
func (w *World) Recvauth(t TB, keytab string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.Command(compile(t, "recvauth"), keytab, "KPOPV1.0")
	cmd.Env = append(w.Env(""), "KRB5RCACHENAME=dfl:", "KRB5RCACHEDIR="+t.TempDir())
	p, err := startProcess(ctx, cmd, "\n")
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(p.stop)
	addr := p.log.String()
	return addr[:len(addr)-1]
}

// Acceptor compiles sendauth/acceptor.c, which accepts tickets by MIT's own
// libraries, and returns the program. The head of its source describes it;
// [RunAcceptor] runs it.
func Acceptor(t TB) string {
	t.Helper()
	return compile(t, "acceptor")
}

// RunAcceptor runs the program that [Acceptor] returned, as "gss" or "kpop",
// over a file of what clients send, with an empty replay cache of its own. It
// returns how many it accepted, and the seconds by the clock and of a processor
// that they took.
func RunAcceptor(t TB, program, kind, keytab, file string) (n int, wall, cpu float64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientPatience)
	defer cancel()
	env := append(os.Environ(), "KRB5_CONFIG=/dev/null", "KRB5RCACHENAME=dfl:", "KRB5RCACHEDIR="+t.TempDir())
	out, err := output(ctx, env, "", program, kind, keytab, file)
	if err == nil {
		_, err = fmt.Sscan(out, &n, &wall, &cpu)
	}
	if err != nil {
		t.Fatalf("testenv: acceptor: %v", err)
	}
	return n, wall, cpu
}

// compile compiles a C program of this package against libkrb5.
func compile(t TB, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dir := t.TempDir()
	data, err := programs.ReadFile("sendauth/" + name + ".c")
	if err != nil {
		t.Fatal(err)
	}
	source, program := filepath.Join(dir, name+".c"), filepath.Join(dir, name)
	if err := os.WriteFile(source, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = output(ctx, os.Environ(), "", Need(t, "gcc"), "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra",
		"-o", program, source, "-lgssapi_krb5", "-lkrb5")
	if err != nil {
		t.Fatalf("testenv: %v\nWithout krb5.h, run: apt-get install --no-install-recommends libkrb5-dev", err)
	}
	return program
}

// RunSendauth runs the program that [Sendauth] returned against an address.
// The flags are its options, service such as "pop/localhost", and input the
// POP3 lines to send.
func (c *Clients) RunSendauth(t TB, program, cache, addr, service, input string, flags ...string) Result {
	t.Helper()
	host, port := splitAddr(t, addr)
	argv := append([]string{program}, flags...)
	return runClient(t, client{
		argv:  append(argv, host, port, service),
		env:   c.Env(cache),
		stdin: input,
	})
}
