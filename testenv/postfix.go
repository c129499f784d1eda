package testenv

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A Postfix is a running Postfix of Debian's, which takes mail from this
// machine for any address and delivers it by the transports of its
// configuration.
type Postfix struct {
	// SMTP is its loopback address.
	SMTP string

	dir      string
	root     string // where the package was unpacked; "": it is installed
	server   *process
	watchdog *watchdog
}

// PostfixConfig says how a Postfix delivers.
type PostfixConfig struct {
	// Main is more of main.cf, and Master of master.cf.
	Main, Master string
}

// StartPostfix starts a Postfix that ends with the test. Only root can.
func StartPostfix(t TB, c PostfixConfig) *Postfix {
	t.Helper()
	p, err := openPostfix(c)
	if err != nil {
		t.Fatalf("testenv: Postfix: %v", err)
	}
	t.Cleanup(p.stop)
	return p
}

// Log returns the end of what the server has said.
func (p *Postfix) Log() string { return p.server.log.String() }

// Await waits until the log says text so many times.
func (p *Postfix) Await(t TB, text string, times int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for strings.Count(p.Log(), text) < times {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("testenv: Postfix did not say %q %d times: %s", text, times, p.Log())
		}
	}
}

func (p *Postfix) stop() {
	if p.server != nil {
		p.server.stop()
	}
	_ = p.watchdog.stop()
}

// agentRoot returns the directory below which a program of a mail transfer
// agent is: "/", or where test.sh unpacks their packages. They exclude one
// another, and nobody's own is replaced.
func agentRoot(program string) (string, error) {
	if _, err := os.Stat(program); err == nil {
		return "/", nil
	}
	_, err := needUnpacked(program)
	return unpacked, err
}

func openPostfix(c PostfixConfig) (*Postfix, error) {
	root, err := agentRoot("/usr/lib/postfix/sbin/master")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kpopd-postfix-")
	if err != nil {
		return nil, err
	}
	p := &Postfix{dir: dir, root: root}
	if p.watchdog, err = newWatchdog(`rm -rf -- "$1"`, dir); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := p.start(ctx, c); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *Postfix) start(ctx context.Context, c PostfixConfig) error {
	if err := p.queue(); err != nil {
		return err
	}
	n := &native{dir: p.dir}
	addr, err := n.start(ctx, "daemon started", 1, func(addr []string) *exec.Cmd {
		for name, text := range map[string]string{"main.cf": postfixMain + c.Main, "master.cf": postfixMaster + c.Master} {
			text = strings.NewReplacer("$DIR", p.dir, "$ROOT", strings.TrimSuffix(p.root, "/"), "$SMTP", addr[0]).Replace(text)
			_ = os.WriteFile(filepath.Join(p.dir, "conf", name), []byte(text), 0o644) // Postfix tells
		}
		cmd := exec.Command("sh", "-c", `: >log; tail -n +1 -F log & exec "$1/usr/lib/postfix/sbin/master" -c "$PWD/conf" -d`, "postfix", p.root)
		cmd.Dir = p.dir
		cmd.Env = append(os.Environ(), "MAIL_CONFIG="+filepath.Join(p.dir, "conf"), "LD_LIBRARY_PATH="+filepath.Join(p.root, "usr/lib/postfix"))
		return cmd
	})
	if err != nil {
		return err
	}
	p.server, p.SMTP = n.servers[0], addr[0]
	return awaitTCP(ctx, p.SMTP)
}

// queue makes the directories that "postfix start" would make, for users that
// every Debian has.
func (p *Postfix) queue() error {
	mail, err := user.Lookup("mail")
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(mail.Uid)
	errs := []error{os.Chmod(p.dir, 0o755), os.Mkdir(filepath.Join(p.dir, "conf"), 0o755), os.Mkdir(filepath.Join(p.dir, "queue"), 0o755)}
	for _, name := range strings.Fields("data queue/active queue/bounce queue/corrupt queue/defer queue/deferred queue/flush queue/hold " +
		"queue/incoming queue/maildrop queue/pid queue/private queue/public queue/saved queue/trace") {
		path := filepath.Join(p.dir, name)
		errs = append(errs, os.Mkdir(path, 0o700))
		if name != "queue/pid" {
			errs = append(errs, os.Chown(path, uid, -1))
		}
	}
	return errors.Join(errs...)
}

const postfixMain = `compatibility_level = 3.6
queue_directory = $DIR/queue
data_directory = $DIR/data
daemon_directory = $ROOT/usr/lib/postfix/sbin
command_directory = $ROOT/usr/sbin
meta_directory = $DIR/conf
shlib_directory = $ROOT/usr/lib/postfix
maillog_file = $DIR/log
maillog_file_prefixes = $DIR
import_environment = MAIL_CONFIG MAIL_LOGTAG TZ LD_LIBRARY_PATH
mail_owner = mail
setgid_group = games
myhostname = mx.example.test
mydestination =
alias_maps =
alias_database =
inet_interfaces = loopback-only
inet_protocols = ipv4
smtpd_peername_lookup = no
smtpd_recipient_restrictions = permit_mynetworks, reject
`

const postfixMaster = `$SMTP inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
`
