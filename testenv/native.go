package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// native runs the servers as processes of this machine.
type native struct {
	dir     string
	servers []*process
}

// newNative checks that the KDC is installed and unpacks the scripts into
// dir/image.
func newNative(dir string) (*native, error) {
	if err := installed("krb5kdc", "kadmin.local", "kinit"); err != nil {
		return nil, err
	}
	return &native{dir: dir}, os.CopyFS(dir, image)
}

// installed returns an error that names the missing programs and the command
// that installs them.
func installed(programs ...string) error {
	var missing []string
	for _, program := range programs {
		if find(program) == "" {
			missing = append(missing, program)
		}
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("%s: not installed; run: %s", strings.Join(missing, ", "), installLine(missing...))
}

func (n *native) kdcDir() string { return filepath.Join(n.dir, "kdc") }

func (n *native) script(name string) string { return filepath.Join(n.dir, "image", name) }

func (n *native) startKDC(ctx context.Context) (string, error) {
	addrs, err := n.start(ctx, "commencing operation", 1, func(addr []string) *exec.Cmd {
		return exec.Command("sh", n.script("kdc.sh"), n.kdcDir(), addr[0])
	})
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}

func (n *native) startLDAP(ctx context.Context, env []string) (*LDAP, error) {
	if err := installed("slapd"); err != nil {
		return nil, err
	}
	dir := filepath.Join(n.dir, "ldap")
	addrs, err := n.start(ctx, "slapd starting", 2, func(addr []string) *exec.Cmd {
		cmd := exec.Command("sh", n.script("ldap.sh"), dir, addr[0], addr[1])
		cmd.Env = append(os.Environ(), env...)
		return cmd
	})
	if err != nil {
		return nil, err
	}
	// slapd says that it is starting before it listens.
	for _, addr := range addrs {
		if err := awaitTCP(ctx, addr); err != nil {
			return nil, err
		}
	}
	return &LDAP{
		URL:    "ldap://" + addrs[0],
		TLSURL: "ldaps://" + addrs[1],
		Socket: "ldapi://" + url.PathEscape(filepath.Join(dir, "ldapi")),
	}, nil
}

// start runs a server on free ports and returns its addresses, once it has said
// that it is ready or, where ready is empty, listens at all of them. The ports are
// free when they are chosen, which somebody else may see as well: a server
// that ends at once gets other ports.
func (n *native) start(ctx context.Context, ready string, ports int, command func(addr []string) *exec.Cmd) ([]string, error) {
	var errs []error
	for range 5 {
		addr, err := freeAddrs(ports)
		if err != nil {
			return nil, err
		}
		p, err := startProcess(ctx, command(addr), ready)
		if err == nil && ready == "" {
			err = p.awaitTCP(ctx, addr)
		}
		if err == nil {
			n.servers = append(n.servers, p)
			return addr, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// awaitTCP returns when somebody listens at addr.
func awaitTCP(ctx context.Context, addr string) error {
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return err
		}
	}
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
