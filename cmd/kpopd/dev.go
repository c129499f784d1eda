package main

import (
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"kpopd/auth/krb5"
	"kpopd/auth/userfile"
	"kpopd/maildrop/maildir"
)

// devFiles are the templates of -dev: the configuration, the clients' files
// and the words that explain them; and the sample messages.
//
//go:embed dev/*
var devFiles embed.FS

const (
	devRealm = "DEV.KPOPD"
	devUser  = "alice"
)

type devOptions struct {
	address string // of loopback
	ports   string // of POP3, POP3S and KPOP
	dir     string // "": a temporary one
	out     io.Writer
}

// A dev is the world that -dev makes: a directory with a realm, an authority,
// a user with mail, a configuration and the files that clients need. The
// configuration is served like any other.
type dev struct {
	Dir, Program       string
	Realm, User        string
	Password           string
	Address            string
	POP3, POP3S, KPOP  string // addresses to listen on
	Port, PortS, PortK int    // once they are open
}

// serveDev serves the embedded default.
func serveDev(ctx context.Context, s *service, o devOptions) error {
	d := &dev{Realm: devRealm, User: devUser, Password: rand.Text()[:12], Address: o.address}
	if err := d.addresses(o.ports); err != nil {
		return err
	}
	remove, err := d.directory(o.dir)
	if err != nil {
		return err
	}
	defer remove()
	if err := d.furnish(ctx); err != nil {
		return fmt.Errorf("-dev: %w", err)
	}
	s.path = filepath.Join(d.Dir, "kpopd.hcl")
	s.ready = func(open *sockets) {
		if err := d.explain(open, o.out); err != nil {
			s.log.Error("the clients' files cannot be written", "err", err)
		}
	}
	err = s.run(ctx)
	if errors.Is(err, errReported) { // of what -dev made, only the ports can be wrong
		fmt.Fprintln(s.stderr, "kpopd: -dev-ports 0,0,0 takes any ports that are free")
	}
	return err
}

// addresses checks that nobody else can reach what -dev opens: its password
// is printed, and its realm believes whoever has the file.
func (d *dev) addresses(ports string) error {
	ip, err := netip.ParseAddr(d.Address)
	if err != nil || !ip.IsLoopback() {
		return usagef("serve: -dev listens on loopback only, and %q is no such address: "+
			"write a configuration and use -config to serve others", d.Address)
	}
	fields := strings.Split(ports, ",")
	if len(fields) != 3 {
		return usagef("serve: -dev-ports needs three ports, such as 1110,1995,1109")
	}
	for i, to := range []*string{&d.POP3, &d.POP3S, &d.KPOP} {
		port, err := strconv.ParseUint(fields[i], 10, 16)
		if err != nil {
			return usagef("serve: %q in -dev-ports is no port", fields[i])
		}
		*to = netip.AddrPortFrom(ip, uint16(port)).String()
	}
	return nil
}

// directory makes the directory, and returns what removes it again if it is a
// temporary one.
func (d *dev) directory(dir string) (remove func(), err error) {
	if d.Program, err = os.Executable(); err != nil {
		return nil, err
	}
	if dir == "" {
		d.Dir, err = os.MkdirTemp("", "kpopd-dev-")
		return func() { os.RemoveAll(d.Dir) }, err
	}
	if d.Dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	return func() {}, os.MkdirAll(d.Dir, 0o700)
}

func (d *dev) path(name string) string { return filepath.Join(d.Dir, name) }

// furnish fills the directory.
func (d *dev) furnish(ctx context.Context) error {
	if err := d.realm(); err != nil {
		return err
	}
	if err := writeCertificates(d.Dir, "localhost"); err != nil {
		return err
	}
	hash, err := userfile.Hash("SCRAM-SHA-256", d.Password)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.path("users"), []byte(d.User+":"+hash+"\n"), 0o600); err != nil {
		return err
	}
	if err := d.mail(ctx); err != nil {
		return err
	}
	return d.write("kpopd.hcl")
}

// realm makes a realm that needs no KDC: the service's key in a keytab, and a
// ticket of the user's for it in a credentials cache.
func (d *dev) realm() error {
	service := krb5.Principal{Components: []string{"pop", "localhost"}, Realm: d.Realm}
	client := krb5.Principal{Components: []string{d.User}, Realm: d.Realm}
	mint, err := krb5.NewMint(d.Realm, "pop/localhost")
	if err != nil {
		return err
	}
	if err := mint.WriteKeytab(d.path("krb5.keytab")); err != nil {
		return err
	}
	ticket, err := mint.Ticket(client, service, krb5.TicketOptions{})
	if err != nil {
		return err
	}
	return krb5.WriteCCache(d.path("alice.ccache"), client, ticket)
}

// mail delivers the sample messages, unless a directory that was kept has
// mail already.
func (d *dev) mail(ctx context.Context) error {
	root := d.path("mail")
	if _, err := os.Stat(filepath.Join(root, d.User)); err == nil {
		return nil
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	store := &maildir.Store{Root: root, Path: func(name string) (string, error) { return name + "/Maildir", nil }, Hostname: "localhost"}
	for i := 1; i <= 3; i++ {
		msg, err := devFiles.Open(fmt.Sprintf("dev/%d.eml", i))
		if err != nil {
			return err
		}
		if err := store.Deliver(ctx, d.User, msg); err != nil {
			return err
		}
	}
	return nil
}

// write writes a file of the directory from the template of its name.
func (d *dev) write(name string) error {
	f, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := d.execute(f, name); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

func (d *dev) execute(w io.Writer, name string) error {
	t, err := template.ParseFS(devFiles, "dev/"+name+".tmpl")
	if err != nil {
		return err
	}
	return t.Execute(w, d)
}

// explain writes the clients' files, now that the ports are known, and prints
// the commands to try.
func (d *dev) explain(open *sockets, out io.Writer) error {
	for name, port := range map[string]*int{"pop3": &d.Port, "pop3s": &d.PortS, "kpop": &d.PortK} {
		ap, err := net.ResolveTCPAddr("tcp", open.addresses()[name])
		if err != nil {
			return err
		}
		*port = ap.Port
	}
	for _, name := range []string{"krb5.conf", "fetchmail-gssapi", "fetchmail-kpop"} {
		if err := d.write(name); err != nil {
			return err
		}
	}
	return d.execute(out, "welcome")
}
