package testenv

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// image holds the scripts and the directory data that both backends run.
//
//go:embed image
var image embed.FS

// native runs the servers as processes of this machine.
type native struct {
	dir     string
	servers []*process
}

func newNative(dir string) (*native, error) {
	var missing []string
	for _, program := range []string{"krb5kdc", "kadmin.local", "kinit"} {
		if find(program) == "" {
			missing = append(missing, program)
		}
	}
	if missing != nil {
		return nil, fmt.Errorf("%s not installed; run: %s", strings.Join(missing, ", "), installLine(missing...))
	}
	return &native{dir: dir}, os.CopyFS(dir, image) // as dir/image
}

func (n *native) kdcDir() string { return filepath.Join(n.dir, "kdc") }

func (n *native) startKDC(ctx context.Context) (string, error) {
	return n.start(ctx, "commencing operation", 1, func(addr []string) *exec.Cmd {
		return exec.Command("sh", filepath.Join(n.dir, "image", "kdc.sh"), n.kdcDir(), addr[0])
	})
}

// start runs a server on free ports and returns the first address. The ports
// are free when they are chosen, which somebody else may see as well: a
// server that ends at once gets other ports.
func (n *native) start(ctx context.Context, ready string, ports int, command func(addr []string) *exec.Cmd) (string, error) {
	var errs []error
	for range 5 {
		addr, err := freeAddrs(ports)
		if err != nil {
			return "", err
		}
		cmd := command(addr)
		p, err := startProcess(ctx, cmd, ready)
		if err == nil {
			n.servers = append(n.servers, p)
			return addr[0], nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return "", errors.Join(errs...)
}

func (n *native) admin(ctx context.Context, stdin string, argv ...string) (string, error) {
	if path := find(argv[0]); path != "" {
		argv[0] = path
	}
	env := append(os.Environ(),
		"KRB5_CONFIG="+filepath.Join(n.kdcDir(), "krb5.conf"),
		"KRB5_KDC_PROFILE="+filepath.Join(n.kdcDir(), "kdc.conf"))
	return output(ctx, env, stdin, argv...)
}

func (n *native) stop() {
	for _, p := range n.servers {
		p.stop()
	}
}

// freeAddrs returns distinct loopback addresses that nobody listens on now.
func freeAddrs(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}

func (n *native) startLDAP(ctx context.Context, ca []byte, cert Certificate) (*LDAP, error) {
	return nil, errors.New("not built")
}
