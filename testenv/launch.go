package testenv

import (
	"context"
	"fmt"
	"os/exec"
)

// A Launched is a server that is not of the world, in a process of its own.
type Launched struct {
	Addrs []string // it listens at
	Pid   int
}

// Launch starts a server that ends with the test, and returns when it listens at
// as many free addresses of loopback as it was to have.
func Launch(t TB, addrs int, command func(addrs []string) *exec.Cmd) *Launched {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	n := new(native)
	t.Cleanup(n.stop)
	addr, err := n.start(ctx, "", addrs, command)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return &Launched{Addrs: addr, Pid: n.servers[0].cmd.Process.Pid}
}

// awaitTCP returns when the process listens at all addresses; one that ends
// before, or does not until ctx is done, is an error, and is stopped.
func (p *process) awaitTCP(ctx context.Context, addrs []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-p.done:
		case <-ctx.Done():
		}
	}()
	for _, addr := range addrs {
		if err := awaitTCP(ctx, addr); err != nil {
			p.stop()
			return fmt.Errorf("%s: %w: %s", p.cmd.Path, err, p.log)
		}
	}
	return nil
}
