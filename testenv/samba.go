package testenv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Names of the Active Directory domain, and the password of who may search it.
const (
	SambaRealm    = "AD.EXAMPLE.TEST"
	SambaDomain   = "EXAMPLE" // as in EXAMPLE\alice
	SambaBaseDN   = "DC=ad,DC=example,DC=test"
	SambaPeopleDN = "OU=people," + SambaBaseDN
	SambaGroupsDN = "OU=groups," + SambaBaseDN
	// SambaServiceDN is an account like any other: in Active Directory those
	// may read what matters of all.
	SambaServiceDN       = "CN=kpopd,OU=services," + SambaBaseDN
	SambaServicePassword = "kpopd-password"
)

// A Samba is a running Active Directory domain controller, Samba's, whose
// tickets carry a PAC. Its entries are those of image/samba.ldif, each with the
// password that [Clients.Password] knows for its sAMAccountName:
//
//	alice       alice.able@example.test by user principal name, in staff, which
//	            is in employees, which is in pop-users
//	bob         in pop-users
//	disabled expired locked mustchange night elsewhere stale
//	            nobody may log in as these: disabled, account expired, locked,
//	            to change the password first, at no hour, at no host but
//	            another, password expired
//	kpopd       may search
//	svc-pop     the service pop/localhost and pop/pop.example.test
type Samba struct {
	// Clients are those of AD.EXAMPLE.TEST.
	Clients
	// Addr is the controller's loopback address. LDAP (389), LDAP over TLS
	// (636) and the KDC (88) have their own ports there.
	Addr string
	// URL is for connections that use StartTLS, without which no password is
	// taken; TLSURL starts with TLS. Both name Addr, which CA signed for.
	URL, TLSURL string
	// Keytab holds the AES keys of pop/localhost and pop/pop.example.test.
	Keytab string
	CA     *CA

	server   *process
	watchdog *watchdog
}

// controller is the domain controller that all tests of the binary share.
var controller sharedSamba

type sharedSamba struct {
	once  sync.Once
	samba *Samba
	err   error
}

// StartSamba returns the domain controller that all tests of the binary share,
// and makes it at the first call, which takes some ten seconds. It ends with
// the binary, by [M]. It listens on ports below 1024 and gives away files, so
// that it wants root.
func StartSamba(t TB) *Samba {
	t.Helper()
	controller.once.Do(func() { controller.samba, controller.err = openSamba() })
	if controller.err != nil {
		t.Fatalf("testenv: Samba: %v", controller.err)
	}
	return controller.samba
}

func (c *sharedSamba) close() {
	c.once.Do(func() { c.err = errors.New("the tests are over") })
	if c.samba != nil {
		c.samba.close()
	}
}

func openSamba() (*Samba, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("a domain controller has the ports 88 and 389 and files of several owners; run the tests as root")
	}
	if err := installed("samba", "samba-tool", "ldbmodify", "kinit"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "kpopd-samba-")
	if err != nil {
		return nil, err
	}
	s := &Samba{Clients: Clients{dir: dir, Krb5Conf: filepath.Join(dir, "krb5.conf")}}
	if s.watchdog, err = newWatchdog(`rm -rf -- "$1"`, dir); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := s.populate(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// populate makes the domain, starts its controller and writes what the users
// need.
func (s *Samba) populate() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	if s.CA, err = NewCA(); err != nil {
		return err
	}
	if s.Addr, err = freeHost(); err != nil {
		return err
	}
	s.URL, s.TLSURL = "ldap://"+s.Addr, "ldaps://"+s.Addr
	s.Keytab = filepath.Join(s.dir, "pop.keytab")
	for _, step := range []func(context.Context) error{s.provision, s.load, s.start} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return errors.Join(
		s.exportKeytab(ctx, s.Keytab, "pop/localhost", "pop/pop.example.test"),
		os.WriteFile(s.Krb5Conf, []byte(s.conf()), 0o644),
		s.kinit(ctx, filepath.Join(s.dir, "probe.ccache"), "alice", s.Password("alice")))
}

func (s *Samba) provision(ctx context.Context) error {
	cert, err := s.CA.Server(s.Addr, "dc1.ad.example.test", "ad.example.test", "localhost")
	if err != nil {
		return err
	}
	if err := os.CopyFS(s.dir, image); err != nil {
		return err
	}
	_, err = output(ctx, append(os.Environ(), tlsEnv(s.CA.PEM, cert)...), "", "sh", filepath.Join(s.dir, "image", "samba.sh"), s.dcDir(), s.Addr)
	return err
}

// load reads the entries. When a password was changed is nothing that an
// administrator may set: it takes the control by which Samba's own password
// module is passed over.
func (s *Samba) load(ctx context.Context) error {
	entries, err := image.ReadFile("image/samba.ldif")
	if err != nil {
		return err
	}
	past := "dn: CN=stale," + SambaPeopleDN + "\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: 130000000000000000\n"
	return errors.Join(s.modify(ctx, string(entries)), s.modify(ctx, past, "--controls=local_oid:1.3.6.1.4.1.7165.4.3.12:0"))
}

// start starts the controller, one process, and waits until it listens.
func (s *Samba) start(ctx context.Context) (err error) {
	cmd := exec.Command(find("samba"), "--configfile="+s.configFile(), "--interactive", "--model=single", "--debug-stdout")
	if s.server, err = startProcess(ctx, cmd, "using 'single' process model"); err != nil {
		return err
	}
	for _, port := range sambaPorts {
		if err := awaitTCP(ctx, net.JoinHostPort(s.Addr, port)); err != nil {
			return fmt.Errorf("%w: %s", err, s.server.log)
		}
	}
	return nil
}

// conf is the krb5.conf of the domain.
func (s *Samba) conf() string {
	return s.libdefaults(SambaRealm, aesTypes, false) + fmt.Sprintf(`[realms]
  %[1]s = {
    kdc = %[2]s:88
  }
[domain_realm]
  localhost = %[1]s
  .example.test = %[1]s
`, SambaRealm, s.Addr)
}

func (s *Samba) dcDir() string      { return filepath.Join(s.dir, "dc") }
func (s *Samba) configFile() string { return filepath.Join(s.dcDir(), "smb.conf") }

// close ends the controller and removes the directory.
func (s *Samba) close() {
	if s.server != nil {
		s.server.stop()
	}
	_ = s.watchdog.stop()
}

// sambaPorts are those that the controller listens on.
var sambaPorts = []string{"88", "389", "464", "636", "3268", "3269"}

// freeHost returns a loopback address on which nobody has a controller's ports
// now: those cannot be chosen, so the address is.
func freeHost() (string, error) {
	var errs []error
	for range 10 {
		addr := net.IPv4(127, byte(64+rand.IntN(128)), byte(rand.IntN(256)), byte(1+rand.IntN(254))).String()
		err := free(addr)
		if err == nil {
			return addr, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// free reports who has a controller's ports at an address.
func free(addr string) error {
	for _, port := range sambaPorts {
		l, err := net.Listen("tcp", net.JoinHostPort(addr, port))
		if err != nil {
			return err
		}
		l.Close()
	}
	return nil
}
