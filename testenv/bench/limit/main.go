// Command limit is the yardstick of testenv/bench: a POP3 server that answers
// from memory with octets made ready at its start. It pays for sockets and TLS
// and for nothing else, so that no server in Go is faster on the same machine.
// It removes nothing, keeps no locks, and its clients may take what time they
// want: it serves nobody but the bench.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime/debug"
)

func main() {
	plain := flag.String("plain", "", "the `ADDRESS` to listen at")
	secure := flag.String("tls", "", "the `ADDRESS` to listen at with TLS")
	cert := flag.String("cert", "", "the `FILE` with the certificate")
	key := flag.String("key", "", "the `FILE` with its key")
	mail := flag.String("mail", "", "the `DIRECTORY` of the Maildirs, USER/Maildir")
	password := flag.String("password", "", "everybody's `PASSWORD`")
	flag.Parse()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800) // what a TLS handshake leaves costs 13 % less so
	}
	fmt.Fprintln(os.Stderr, "limit:", run(*plain, *secure, *cert, *key, *mail, *password))
	os.Exit(1)
}

// run serves until it fails.
func run(plain, secure, cert, key, mail, password string) error {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	s := &server{password: password}
	if s.drops, err = load(mail); err != nil {
		return err
	}
	clear, err := net.Listen("tcp", plain)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", secure)
	if err != nil {
		return err
	}
	go s.accept(tls.NewListener(l, &tls.Config{
		Certificates:                []tls.Certificate{pair},
		DynamicRecordSizingDisabled: true,
	}))
	return s.accept(clear)
}
