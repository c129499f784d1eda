package testenv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
)

// A Dovecot is a running Dovecot of Debian's, a POP3 and IMAP server.
type Dovecot struct {
	// POP3, POP3S and IMAP are its loopback addresses, for the host name
	// localhost in its certificate; POP3 has STLS too.
	POP3, POP3S, IMAP string
	CA                *CA

	dir      string
	server   *process
	watchdog *watchdog
}

// DovecotConfig says what a Dovecot serves.
type DovecotConfig struct {
	// Mail is the directory with the Maildirs, USER/Maildir. Where root runs
	// the tests, they become the user mail's: Dovecot has no mail of root's.
	Mail string
	// Users are the passwords by user name.
	Users map[string]string
	// Keytab, where it is not empty, has the key of pop/localhost, by which
	// those log in by GSSAPI whom Principals names; Krb5Conf is for Dovecot.
	Keytab, Krb5Conf string
	// Principals are who may act as a user, by user name, separated by commas.
	Principals map[string]string
	// Log is the file that it logs to; "": the end of it is for [Dovecot.Log].
	Log string
	// Extra is more configuration, such as "pop3_uidl_format = %g\n".
	Extra string
}

// StartDovecot starts a Dovecot that ends with the test.
func StartDovecot(t TB, c DovecotConfig) *Dovecot {
	t.Helper()
	d, err := openDovecot(c)
	if err != nil {
		t.Fatalf("testenv: Dovecot: %v", err)
	}
	t.Cleanup(d.Stop)
	return d
}

// Stop ends the server and removes its directory, but no mail. It is
// idempotent.
func (d *Dovecot) Stop() {
	if d.server != nil {
		d.server.stop()
		d.server = nil
	}
	if d.watchdog != nil {
		_ = d.watchdog.stop()
		d.watchdog = nil
	}
}

// Pid returns the process of the server that has started all others.
func (d *Dovecot) Pid() int { return d.server.cmd.Process.Pid }

// Log returns the end of what the server has said.
func (d *Dovecot) Log() string { return d.server.log.String() }

func openDovecot(c DovecotConfig) (*Dovecot, error) {
	if err := installed("dovecot", "/usr/lib/dovecot/pop3", "/usr/lib/dovecot/imap"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kpopd-dovecot-") // its sockets have short names
	if err != nil {
		return nil, err
	}
	d := &Dovecot{dir: dir}
	if d.watchdog, err = newWatchdog(`rm -rf -- "$1"`, dir); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := d.start(ctx, c); err != nil {
		d.Stop()
		return nil, err
	}
	return d, nil
}

func (d *Dovecot) start(ctx context.Context, c DovecotConfig) (err error) {
	if err := d.write(c); err != nil {
		return err
	}
	owner, err := giveToMail(c.Mail)
	if err != nil {
		return err
	}
	n, ready := &native{dir: d.dir}, "starting up for"
	if c.Log != "" {
		ready = ""
	}
	addr, err := n.start(ctx, ready, 3, func(addr []string) *exec.Cmd {
		_ = os.WriteFile(d.path("dovecot.conf"), []byte(d.conf(addr, owner, c)), 0o600) // Dovecot tells
		return exec.Command(find("dovecot"), "-F", "-c", d.path("dovecot.conf"))
	})
	if err != nil {
		return err
	}
	d.server, d.POP3, d.POP3S, d.IMAP = n.servers[0], addr[0], addr[1], addr[2]
	for _, a := range addr {
		if err := awaitTCP(ctx, a); err != nil {
			return fmt.Errorf("%w: %s", err, d.Log())
		}
	}
	return nil
}

// write writes what the configuration names.
func (d *Dovecot) write(c DovecotConfig) (err error) {
	if d.CA, err = NewCA(); err != nil {
		return err
	}
	cert, err := d.CA.Server("localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	users := ""
	for name, password := range c.Users {
		users += name + ":{PLAIN}" + password
		if p := c.Principals[name]; p != "" {
			users += "::::::k5principals=" + p
		}
		users += "\n"
	}
	return errors.Join(
		os.Chmod(d.dir, 0o755), // its login processes are another user's
		os.WriteFile(d.path("users"), []byte(users), 0o644),
		os.WriteFile(d.path("cert.pem"), cert.Cert, 0o600),
		os.WriteFile(d.path("key.pem"), cert.Key, 0o600))
}

func (d *Dovecot) path(name string) string { return filepath.Join(d.dir, name) }

// conf is the configuration. Run by root, Dovecot wants users of its own for
// what has no mail; run by anybody else, it has that user only.
func (d *Dovecot) conf(addr []string, owner owner, c DovecotConfig) string {
	internal, login, chroot := "dovecot", "dovenull", ""
	if os.Geteuid() != 0 {
		me, _ := user.Current()
		internal, login = me.Username, me.Username
		chroot = "service anvil {\n  chroot =\n}\nservice stats {\n  chroot =\n}\nservice pop3-login {\n  chroot =\n}\nservice imap-login {\n  chroot =\n}\n"
	}
	listener := func(name, addr, tls string) string {
		host, port, _ := net.SplitHostPort(addr)
		return fmt.Sprintf("  inet_listener %s {\n    address = %s\n    port = %s\n    ssl = %s\n  }\n", name, host, port, tls)
	}
	log := cmp.Or(c.Log, "/dev/stderr")
	return strings.NewReplacer("$DIR", d.dir, "$OUT", log, "$MAIL", c.Mail, "$INTERNAL", internal, "$LOGIN", login,
		"$UID", fmt.Sprint(owner.uid), "$GID", fmt.Sprint(owner.gid)).Replace(dovecotConf) + chroot +
		"service pop3-login {\n" + listener("pop3", addr[0], "no") + listener("pop3s", addr[1], "yes") + "}\n" +
		"service imap-login {\n" + listener("imap", addr[2], "no") + "  inet_listener imaps {\n    port = 0\n  }\n}\n" + c.gssapi() + c.Extra
}

// gssapi is the configuration for tickets.
func (c *DovecotConfig) gssapi() string {
	if c.Keytab == "" {
		return ""
	}
	text := fmt.Sprintf("auth_mechanisms = plain gssapi\nauth_krb5_keytab = %s\nauth_gssapi_hostname = localhost\nimport_environment = KRB5_CONFIG=%s\n",
		c.Keytab, c.Krb5Conf)
	if os.Geteuid() == 0 {
		text += "service auth {\n  user = root\n}\n" // the keytab is root's
	}
	return text
}

const dovecotConf = `base_dir = $DIR/run
state_dir = $DIR/state
log_path = $OUT
protocols = pop3 imap
default_internal_user = $INTERNAL
default_internal_group = 
default_login_user = $LOGIN
mail_location = maildir:$MAIL/%u/Maildir
mail_uid = $UID
mail_gid = $GID
first_valid_uid = 0
first_valid_gid = 0
disable_plaintext_auth = no
mail_max_userip_connections = 1000
ssl = yes
ssl_cert = <$DIR/cert.pem
ssl_key = <$DIR/key.pem
passdb {
  driver = passwd-file
  args = $DIR/users
}
userdb {
  driver = static
  args = home=$MAIL/%u
}
`

// An owner is whose mail a server serves.
type owner struct{ uid, gid int }

// giveToMail gives a directory to the user mail and lets it in, where root runs
// the tests. Otherwise everything is one user's.
func giveToMail(dir string) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{os.Geteuid(), os.Getegid()}, nil
	}
	const mail = 8 // the user and the group, on every Debian
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, mail, mail))
	})
	for up := filepath.Dir(dir); err == nil && strings.HasPrefix(up, os.TempDir()+"/"); up = filepath.Dir(up) {
		err = os.Chmod(up, 0o755)
	}
	return owner{mail, mail}, err
}
