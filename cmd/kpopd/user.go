package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"

	"kpopd/auth/userfile"
)

func userCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "user",
		Usage: "work on files of users",
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return usagef("user: there is no command %q", cmd.Args().First())
			}
			return cli.ShowSubcommandHelp(cmd)
		},
		Commands: []*cli.Command{hashCommand(stdout, stderr)},
	}
}

func hashCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "hash",
		Usage: "read a password from standard input and print what a file of users keeps of it",
		Description: "A line of the file is the user's name, a colon and what this prints. At a\nterminal the password is asked for twice and not shown; else it is the one\n" +
			"line of the input.\n\nSchemes: ARGON2ID, BLF-CRYPT, SHA512-CRYPT, SHA256-CRYPT for passwords only;\n" +
			"SCRAM-SHA-256, SCRAM-SHA-1 for passwords and SCRAM; CRAM-MD5 for passwords and\nCRAM-MD5; PLAIN for all of them and APOP, as nothing hides the password.",
		Flags: []cli.Flag{&cli.StringFlag{Name: "scheme", Value: "ARGON2ID", Usage: "`SCHEME` to hash with"}},
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() { // which may be a password, and is not repeated
				return usagef("user hash: the password is read from standard input; there are no arguments")
			}
			return hashPassword(cmd.String("scheme"), os.Stdin, stdout, stderr)
		},
	}
}

// hashPassword prints the hash of the password that in has. The scheme is tried
// first, so that nobody types a password in vain.
func hashPassword(scheme string, in *os.File, stdout, stderr io.Writer) error {
	if _, err := userfile.Hash(scheme, "trial"); err != nil {
		return usagef("user hash: %w", err)
	}
	read := readLine
	if _, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS); err == nil {
		read = func(in *os.File) (string, error) { return askTwice(in, stderr) }
	}
	password, err := read(in)
	if err != nil {
		return fmt.Errorf("user hash: %w", err)
	}
	hash, err := userfile.Hash(scheme, password)
	if err != nil {
		return fmt.Errorf("user hash: %w", err)
	}
	_, err = fmt.Fprintln(stdout, hash)
	return err
}

// maxPasswordLine is more than any password that can be hashed.
const maxPasswordLine = 4096

// readLine reads the only line of in, whose end may be missing.
func readLine(in *os.File) (string, error) {
	b, err := io.ReadAll(io.LimitReader(in, maxPasswordLine+1))
	if err != nil {
		return "", err
	}
	line := trimEnd(string(b))
	switch {
	case len(b) > maxPasswordLine:
		return "", errors.New("the input is too long for a password")
	case strings.ContainsAny(line, "\r\n"):
		return "", errors.New("the input has more than one line")
	}
	return line, nil
}

func trimEnd(line string) string { return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r") }

// askTwice asks for a password at a terminal that does not show it meanwhile.
func askTwice(tty *os.File, prompt io.Writer) (string, error) {
	restore, err := hideInput(int(tty.Fd()))
	if err != nil {
		return "", err
	}
	defer restore()
	lines := bufio.NewReaderSize(tty, maxPasswordLine)
	var typed [2]string
	for i, text := range []string{"Password: ", "Again: "} {
		fmt.Fprint(prompt, text)
		line, err := lines.ReadSlice('\n')
		fmt.Fprintln(prompt)
		if err != nil {
			return "", fmt.Errorf("no password: %w", err)
		}
		typed[i] = trimEnd(string(line))
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two passwords differ")
	}
	return typed[0], nil
}

// hideInput keeps a terminal from showing what is typed, until restore is
// called or a signal ends the program.
func hideInput(fd int) (restore func(), err error) {
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	hidden := *was
	hidden.Lflag &^= unix.ECHO
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		signal.Stop(signals)
		return nil, err
	}
	show := func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, was) } // it worked before
	go func() {
		select {
		case <-signals:
			show()
			os.Exit(exitFailed)
		case <-done:
		}
	}()
	return func() { signal.Stop(signals); close(done); show() }, nil
}
