package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"
)

// relayCommand connects standard input and output to a TCP port. It is what a
// fetchmail "plugin" needs to reach KPOP on a port of one's choice: fetchmail
// insists that KPOP's service is called "kpop" and looks it up in
// /etc/services, unless a plugin makes the connection.
func relayCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "relay",
		Usage:     "connect standard input and output to a port, as a fetchmail plugin",
		ArgsUsage: "HOST:PORT",
		Hidden:    true,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Len() != 1 {
				return usagef("relay: one HOST:PORT is needed")
			}
			return relay(ctx, cmd.Args().First(), os.Stdin, stdout)
		},
	}
}

func relay(ctx context.Context, address string, in io.Reader, out io.Writer) error {
	d := net.Dialer{Timeout: 10 * time.Second}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	// The copy from standard input ends with the process: nothing can
	// interrupt a read of it.
	go func() {
		io.Copy(c, in)
		c.(*net.TCPConn).CloseWrite()
	}()
	// fetchmail hangs up on its plugin as soon as it has what it wanted.
	if _, err = io.Copy(out, c); errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}
