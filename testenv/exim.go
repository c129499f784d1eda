package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Exim has a real Exim of Debian's deliver a message by a pipe transport, whose
// further options are given, as the user mail, and returns its log. Recipients
// are those of the users called names. Only root can run it.
func Exim(t TB, transport string, names []string, sender, text string, to ...string) (log string) {
	t.Helper()
	root, err := agentRoot("/usr/sbin/exim4")
	if err != nil {
		t.Fatalf("testenv: Exim: %v", err)
	}
	dir := t.TempDir()
	if _, err := giveToMail(dir); err != nil {
		t.Fatal(err)
	}
	conf := strings.NewReplacer("$DIR", dir, "$NAMES", strings.Join(names, " : "), "$TRANSPORT", transport).Replace(eximConf)
	if err := eximFiles(dir, conf); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	args := append([]string{"-m", "sh", "run.sh", filepath.Join(root, "usr/sbin/exim4"), sender}, to...)
	cmd := exec.CommandContext(ctx, find("unshare"), args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	main, err2 := os.ReadFile(filepath.Join(dir, "mainlog"))
	if err != nil || err2 != nil {
		t.Fatalf("testenv: Exim: %v, %v: %s", err, err2, out)
	}
	return fmt.Sprintf("%s%s", main, out)
}

// eximFiles writes what Exim needs to dir: Debian's wants a user of its own to
// exist.
func eximFiles(dir, conf string) error {
	files := map[string]string{"exim.conf": conf, "run.sh": eximScript}
	for name, line := range map[string]string{"passwd": "Debian-exim:x:65533:65533::/nonexistent:/usr/sbin/nologin\n", "group": "Debian-exim:x:65533:\n"} {
		system, err := os.ReadFile("/etc/" + name)
		if err != nil {
			return err
		}
		files[name] = string(system)
		if !strings.Contains(files[name], "\nDebian-exim:") {
			files[name] += line
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// eximScript runs Exim where its user exists, until all is delivered or put off.
const eximScript = `mount --bind "$PWD/passwd" /etc/passwd && mount --bind "$PWD/group" /etc/group || exit 1
exim=$1 sender=$2
shift 2
exec "$exim" -C "$PWD/exim.conf" -odf -oi -f "$sender" "$@"
`

const eximConf = `spool_directory = $DIR/spool
log_file_path = $DIR/%slog
primary_hostname = mx.example.test
exim_user = mail
exim_group = mail
never_users =
keep_environment =
begin routers
all:
  driver = accept
  local_parts = $NAMES
  transport = pipe
begin transports
pipe:
  driver = pipe
  user = mail
$TRANSPORT
begin retry
* * F,1h,5m
`
