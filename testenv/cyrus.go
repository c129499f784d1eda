package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// A Cyrus is a running Cyrus IMAP server of Debian's, of which there is POP3.
type Cyrus struct {
	// POP3 is its loopback address, with STLS, for the host name localhost.
	POP3 string
	CA   *CA

	dir      string
	server   *process
	watchdog *watchdog
}

// StartCyrus starts a Cyrus that ends with the test, with the passwords of its
// users. extra is more for its imapd.conf. It has a user of its own for all
// mail, so that it wants root.
func StartCyrus(t TB, users map[string]string, extra string) *Cyrus {
	t.Helper()
	c, err := openCyrus(users, extra)
	if err != nil {
		t.Fatalf("testenv: Cyrus: %v", err)
	}
	t.Cleanup(c.Stop)
	return c
}

// Stop ends the server and removes everything of it. It is idempotent.
func (c *Cyrus) Stop() {
	if c.server != nil {
		c.server.stop()
		c.server = nil
	}
	if c.watchdog != nil {
		_ = c.watchdog.stop()
		c.watchdog = nil
	}
}

// Deliver delivers a message to a user by Cyrus's own program.
func (c *Cyrus) Deliver(t TB, user, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := output(ctx, os.Environ(), text, c.asCyrus("/usr/lib/cyrus/bin/deliver", "-C", c.path("imapd.conf"), user)...); err != nil {
		t.Fatalf("testenv: Cyrus: %v", err)
	}
}

func openCyrus(users map[string]string, extra string) (*Cyrus, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("it has files of its own user's; run the tests as root")
	}
	if err := installed("/usr/lib/cyrus/bin/master", "saslpasswd2"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kpopd-cyrus-")
	if err != nil {
		return nil, err
	}
	c := &Cyrus{dir: dir}
	if c.watchdog, err = newWatchdog(`rm -rf -- "$1"`, dir); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	err = c.populate(ctx, users, extra)
	if err == nil {
		err = c.start(ctx)
	}
	if err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

// populate writes what the server needs, and gives it to its user.
func (c *Cyrus) populate(ctx context.Context, users map[string]string, extra string) (err error) {
	if c.CA, err = NewCA(); err != nil {
		return err
	}
	cert, err := c.CA.Server("localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	for name, password := range users {
		_, err := output(ctx, os.Environ(), password, "/usr/sbin/saslpasswd2", "-p", "-c", "-f", c.path("sasldb2"), "-u", "localhost", name)
		if err != nil {
			return err
		}
	}
	for _, sub := range []string{"config", "spool", "socket"} {
		err = errors.Join(err, os.Mkdir(c.path(sub), 0o755))
	}
	err = errors.Join(err,
		os.WriteFile(c.path("imapd.conf"), []byte(strings.ReplaceAll(cyrusConf, "$DIR", c.dir)+extra), 0o644),
		os.WriteFile(c.path("cert.pem"), cert.Cert, 0o644),
		os.WriteFile(c.path("key.pem"), cert.Key, 0o600))
	if err != nil {
		return err
	}
	cyrus, err := user.Lookup("cyrus")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(cyrus.Uid)
	gid, _ := strconv.Atoi(cyrus.Gid)
	return filepath.WalkDir(c.dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, gid))
	})
}

func (c *Cyrus) start(ctx context.Context) error {
	pop3d, err := needUnpacked("/usr/lib/cyrus/bin/pop3d")
	if err != nil {
		return err
	}
	n := &native{dir: c.dir}
	addr, err := n.start(ctx, "starting", 1, func(addr []string) *exec.Cmd {
		services := strings.NewReplacer("$DIR", c.dir, "$POP3D", pop3d, "$ADDR", addr[0]).Replace(cyrusServices)
		_ = os.WriteFile(c.path("cyrus.conf"), []byte(services), 0o644) // Cyrus tells
		return exec.Command("sh", "-c", `echo starting; exec /usr/lib/cyrus/bin/master -D -C "$1/imapd.conf" -M "$1/cyrus.conf" -p "$1/socket/pid"`, "sh", c.dir)
	})
	if err != nil {
		return err
	}
	c.server, c.POP3 = n.servers[0], addr[0]
	if err := awaitTCP(ctx, c.POP3); err != nil {
		return fmt.Errorf("%w: %s", err, c.server.log)
	}
	return nil
}

func (c *Cyrus) path(name string) string { return filepath.Join(c.dir, name) }

// asCyrus is a command of the server's user.
func (c *Cyrus) asCyrus(argv ...string) []string {
	return append([]string{"/usr/bin/setpriv", "--reuid=cyrus", "--regid=mail", "--clear-groups"}, argv...)
}

const cyrusServices = `START {
  recover cmd="ctl_cyrusdb -C $DIR/imapd.conf -r"
}
SERVICES {
  pop3 cmd="$POP3D -C $DIR/imapd.conf" listen="$ADDR"
  lmtp cmd="lmtpd -C $DIR/imapd.conf -a" listen="$DIR/socket/lmtp"
}
EVENTS {
}
`

const cyrusConf = `configdirectory: $DIR/config
partition-default: $DIR/spool
defaultpartition: default
unixhierarchysep: yes
servername: localhost
lmtpsocket: $DIR/socket/lmtp
proc_path: $DIR/socket/proc
mboxname_lockpath: $DIR/socket/lock
idlesocket: $DIR/socket/idle
notifysocket: $DIR/socket/notify
autocreate_post: yes
autocreate_quota: 0
allowplaintext: yes
duplicatesuppression: no
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: $DIR/sasldb2
sasl_mech_list: PLAIN
admins: cyrus
proxyservers: cyrus
tls_server_cert: $DIR/cert.pem
tls_server_key: $DIR/key.pem
`
