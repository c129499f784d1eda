package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// The realms of every world.
const (
	Realm   = "EXAMPLE.TEST" // the home realm: alice, bob, pop/localhost
	Partner = "PARTNER.TEST" // the realm it trusts: carol
)

// A Backend is where a world's servers run.
type Backend string

// The backends.
const (
	Native Backend = "native" // processes of this machine, from Debian's packages
	Docker Backend = "docker" // containers of this machine's Docker engine
)

// A World is a KDC, a directory and a certificate authority for tests. Its
// methods may be called from several tests at once; a test that changes
// principals others use takes a world of its own from [New].
type World struct {
	// Clients are those of both realms.
	Clients
	Backend Backend
	// KDC is the TCP address of the KDC of both realms.
	KDC string
	// WeakConf is Krb5Conf with RC4 permitted and preferred.
	WeakConf string
	// Keytab holds pop/localhost and pop/pop.example.test, OtherKeytab
	// imap/localhost and host/localhost, PartnerKeytab the pop/localhost of
	// PARTNER.TEST. Their mode is 0600.
	Keytab, OtherKeytab, PartnerKeytab string
	// CA signs the certificates of everything that is tested.
	CA *CA

	host     host
	watchdog *watchdog
	ldapMu   sync.Mutex
	ldap     *LDAP
}

// A host runs a world's servers.
type host interface {
	// startKDC starts the KDC and returns its TCP address.
	startKDC(ctx context.Context) (string, error)
	// startLDAP starts the directory server with what [ldapEnv] says.
	startLDAP(ctx context.Context, env []string) (*LDAP, error)
	// admin runs a command beside the KDC, in its configuration, and
	// returns the standard output.
	admin(ctx context.Context, stdin string, argv ...string) (string, error)
	// script is the name of a script of image where admin runs.
	script(name string) string
	// kdcDir is the directory of the KDC's files where admin runs.
	kdcDir() string
	// stop ends the servers.
	stop()
}

var shared struct {
	once  sync.Once
	world *World
	err   error
}

// Start returns the world that all tests of the binary share, and makes it at
// the first call. KPOPD_TESTENV says where its servers run: native, which is
// the default, or docker. It ends with the binary; a binary whose tests look
// for leaked goroutines ends it with [M].
func Start(t TB) *World {
	t.Helper()
	shared.once.Do(func() {
		backend := Backend(os.Getenv("KPOPD_TESTENV"))
		if backend == "" {
			backend = Native
		}
		shared.world, shared.err = open(backend)
	})
	if shared.err != nil {
		t.Fatalf("testenv: %v", shared.err)
	}
	return shared.world
}

// New returns a world of the test's own, which ends with the test.
func New(t TB, backend Backend) *World {
	t.Helper()
	w, err := open(backend)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(w.close)
	return w
}

// A Runner is what [testing.M] is: something that runs tests.
type Runner interface{ Run() int }

// M returns a Runner that runs m and then ends the shared world. It suits
// goleak.VerifyTestMain(testenv.M(m)); a TestMain without goleak is
// os.Exit(testenv.M(m).Run()).
func M(m Runner) Runner { return runner{m} }

type runner struct{ m Runner }

func (r runner) Run() int {
	code := r.m.Run()
	shared.once.Do(func() { shared.err = errors.New("the tests are over") })
	if shared.world != nil {
		shared.world.close()
	}
	controller.close()
	return code
}

// open makes a world: directory, authority, KDC, client configuration.
func open(backend Backend) (*World, error) {
	dir, err := os.MkdirTemp("", "kpopd-testenv-")
	if err != nil {
		return nil, err
	}
	w := &World{Clients: Clients{dir: dir}, Backend: backend}
	if w.watchdog, err = newWatchdog(`rm -rf -- "$1"`, dir); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := w.populate(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// populate starts the KDC and writes what its users need.
func (w *World) populate() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	if w.CA, err = NewCA(); err != nil {
		return err
	}
	switch w.Backend {
	case Native:
		w.host, err = newNative(w.dir)
	case Docker:
		w.host, err = newDocker(ctx, w.dir)
	default:
		err = fmt.Errorf("KPOPD_TESTENV=%s: neither %s nor %s", w.Backend, Native, Docker)
	}
	if err != nil {
		return err
	}
	if w.KDC, err = w.host.startKDC(ctx); err != nil {
		return err
	}
	return errors.Join(w.writeConfs(), w.exportKeytabs(ctx), w.probe(ctx))
}

// exportKeytabs copies the keytabs that the KDC's script made.
func (w *World) exportKeytabs(ctx context.Context) error {
	for name, field := range map[string]*string{
		"pop.keytab": &w.Keytab, "other.keytab": &w.OtherKeytab, "partner.keytab": &w.PartnerKeytab,
	} {
		data, err := w.host.admin(ctx, "", "cat", w.host.kdcDir()+"/"+name)
		if err != nil {
			return err
		}
		*field = filepath.Join(w.dir, name)
		if err := os.WriteFile(*field, []byte(data), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// probe proves the KDC by a login.
func (w *World) probe(ctx context.Context) error {
	cache := filepath.Join(w.dir, "probe.ccache")
	return w.kinit(ctx, cache, "alice", w.Password("alice"))
}

// close ends the servers and removes the directory.
func (w *World) close() {
	if w.host != nil {
		w.host.stop()
	}
	_ = w.watchdog.stop()
}
