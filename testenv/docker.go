package testenv

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// containers runs the servers in containers of a Docker engine, as
// compose.yaml says, under a project name of its own.
type containers struct {
	dir     string
	project string
	compose []string // the command, and the flags that select the project
	guard   *watchdog
	logs    []*process // docker logs -f of each server
}

// A DockerError says that no Docker engine answers.
type DockerError struct{ Err error }

// Error says what docker or its absence said.
func (e *DockerError) Error() string { return "no Docker engine answers: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DockerError) Unwrap() error { return e.Err }

// DockerAnswers returns nil when this machine has a Docker engine and Compose,
// and a *[DockerError] otherwise.
func DockerAnswers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := findCompose(ctx)
	return err
}

// findCompose returns the Compose command: the plugin or, as Debian packages
// it, the program of its own.
func findCompose(ctx context.Context) ([]string, error) {
	if _, err := output(ctx, os.Environ(), "", "docker", "info"); err != nil {
		return nil, &DockerError{err}
	}
	if _, err := output(ctx, os.Environ(), "", "docker", "compose", "version"); err == nil {
		return []string{"docker", "compose"}, nil
	}
	path, err := exec.LookPath("docker-compose")
	if err != nil {
		return nil, &DockerError{fmt.Errorf("%w; run: %s", err, installLine("docker-compose"))}
	}
	return []string{path}, nil
}

// newDocker unpacks the recipe, builds the image where its layers are not
// there yet, and posts a watchdog over the project's containers.
func newDocker(ctx context.Context, dir string) (host, error) {
	compose, err := findCompose(ctx)
	if err != nil {
		return nil, err
	}
	if err := installed("kinit"); err != nil {
		return nil, err
	}
	d := &containers{dir: filepath.Join(dir, "docker"), project: strings.ToLower(filepath.Base(dir))}
	d.compose = append(compose, "-p", d.project, "-f", filepath.Join(d.dir, "compose.yaml"))
	if err := os.CopyFS(d.dir, recipe); err != nil {
		return nil, err
	}
	if err := os.CopyFS(d.dir, image); err != nil {
		return nil, err
	}
	if err := d.build(ctx); err != nil {
		return nil, err
	}
	// Killed in the middle of "up", this binary leaves a Compose behind that
	// still makes containers: the watchdog looks twice.
	d.guard, err = newWatchdog(`down() {
	for c in $(docker ps -aq --filter label=com.docker.compose.project="$1"); do docker rm -f -v "$c"; done
	for n in $(docker network ls -q --filter label=com.docker.compose.project="$1"); do docker network rm "$n"; done
} >/dev/null 2>&1
down "$1"
if [ -e "$2" ]; then sleep 5; down "$1"; fi`, d.project, filepath.Join(d.dir, "starting"))
	if err != nil {
		return nil, err
	}
	return d, nil
}

// build builds the image, one test binary at a time.
func (d *containers) build(ctx context.Context) error {
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("kpopd-testenv-%d.lock", os.Getuid())), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := output(ctx, os.Environ(), "", "sh", filepath.Join(d.dir, "baseimage.sh")); err != nil {
		return err
	}
	_, err = d.run(ctx, nil, "build", "kdc")
	return err
}

// run runs Compose with more environment, every port being the engine's
// choice.
func (d *containers) run(ctx context.Context, env []string, args ...string) (string, error) {
	env = append(append(os.Environ(), "KPOPD_KDC_PORT=0", "KPOPD_LDAP_PORT=0", "KPOPD_LDAPS_PORT=0"), env...)
	argv := append(append([]string{}, d.compose...), args...)
	return output(ctx, env, "", argv...)
}

// up starts a service and waits for the line with ready in its log.
func (d *containers) up(ctx context.Context, env []string, service, ready string) error {
	mark := filepath.Join(d.dir, "starting")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	if _, err := d.run(ctx, env, "up", "-d", "--no-build", service); err != nil {
		return err
	}
	if err := os.Remove(mark); err != nil {
		return err
	}
	id, err := d.id(ctx, service)
	if err != nil {
		return err
	}
	p, err := startProcess(ctx, exec.Command("docker", "logs", "-f", id), ready)
	if err == nil {
		d.logs = append(d.logs, p)
	}
	return err
}

// id returns the container of a service. The engine is asked directly, here
// and for ports: Debian's Compose takes a second to start.
func (d *containers) id(ctx context.Context, service string) (string, error) {
	out, err := output(ctx, os.Environ(), "", "docker", "ps", "-q",
		"--filter", "label=com.docker.compose.project="+d.project,
		"--filter", "label=com.docker.compose.service="+service)
	id := strings.TrimSpace(out)
	if err == nil && id == "" {
		err = fmt.Errorf("container %s of %s does not run", service, d.project)
	}
	return id, err
}

// port returns the loopback address at which a port of a service is
// published.
func (d *containers) port(ctx context.Context, service, port string) (string, error) {
	id, err := d.id(ctx, service)
	if err != nil {
		return "", err
	}
	out, err := output(ctx, os.Environ(), "", "docker", "port", id, port)
	if err != nil {
		return "", err
	}
	addr := strings.TrimSpace(out)
	if host, _, err := net.SplitHostPort(addr); err != nil || host != "127.0.0.1" {
		return "", fmt.Errorf("%s port %s is published at %q", service, port, addr)
	}
	return addr, nil
}

func (d *containers) startKDC(ctx context.Context) (string, error) {
	if err := d.up(ctx, nil, "kdc", "commencing operation"); err != nil {
		return "", err
	}
	return d.port(ctx, "kdc", "88")
}

func (d *containers) startLDAP(ctx context.Context, env []string) (*LDAP, error) {
	if err := d.up(ctx, env, "ldap", "slapd starting"); err != nil {
		return nil, err
	}
	plain, err := d.port(ctx, "ldap", "389")
	if err != nil {
		return nil, err
	}
	tls, err := d.port(ctx, "ldap", "636")
	return &LDAP{URL: "ldap://" + plain, TLSURL: "ldaps://" + tls}, err
}

func (d *containers) kdcDir() string { return "/var/lib/kpopd/kdc" }

func (d *containers) script(name string) string { return "/testenv/" + name }

func (d *containers) admin(ctx context.Context, stdin string, argv ...string) (string, error) {
	id, err := d.id(ctx, "kdc")
	if err != nil {
		return "", err
	}
	return output(ctx, os.Environ(), stdin, append([]string{"docker", "exec", "-i", id}, argv...)...)
}

func (d *containers) stop() {
	for _, p := range d.logs {
		p.stop()
	}
	_ = d.guard.stop() // removes the containers
}
