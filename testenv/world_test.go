package testenv_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kpopd/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testenv.M(m)) }

// TestWorld makes the same statements about every world this machine can
// make: native always, containers where an engine answers.
func TestWorld(t *testing.T) {
	t.Run("native", func(t *testing.T) { checkWorld(t, testenv.New(t, testenv.Native)) })
	t.Run("docker", func(t *testing.T) {
		if err := testenv.DockerAnswers(t.Context()); err != nil {
			if os.Getenv("KPOPD_TESTENV") == string(testenv.Docker) {
				t.Fatal(err)
			}
			t.Logf("NOT TESTED in containers: %v", err)
			return
		}
		checkWorld(t, testenv.New(t, testenv.Docker))
	})
}

func checkWorld(t *testing.T, w *testenv.World) {
	for name, check := range map[string]func(*testing.T, *testenv.World){
		"tickets": checkTickets,
		"keytabs": checkKeytabs,
		"rc4":     checkRC4,
		"past":    checkPast,
		"brief":   checkBrief,
		"rotate":  checkRotate,
		"ldap":    checkLDAP,
	} {
		t.Run(name, func(t *testing.T) { check(t, w) })
	}
}

func checkTickets(t *testing.T, w *testenv.World) {
	for _, user := range []string{"alice", "bob", "dave", "alice/admin", "carol@PARTNER.TEST", "alice@PARTNER.TEST"} {
		cache := w.Kinit(t, user)
		for _, service := range []string{"pop/localhost", "pop/pop.example.test", "imap/localhost", "host/localhost"} {
			if kvno := w.Ticket(t, cache, service); kvno != 1 {
				t.Errorf("%s: ticket for version %d of the key of %s, want 1", user, kvno, service)
			}
		}
		if list := klist(t, "-e", cache); strings.Contains(list, "arcfour") || !strings.Contains(list, "aes256-cts-hmac-sha1-96, aes256") {
			t.Errorf("%s has other tickets than AES-256 ones:\n%s", user, list)
		}
	}
}

func checkKeytabs(t *testing.T, w *testenv.World) {
	for keytab, want := range map[string]string{
		w.Keytab:        "pop/localhost@EXAMPLE.TEST pop/pop.example.test@EXAMPLE.TEST",
		w.OtherKeytab:   "imap/localhost@EXAMPLE.TEST host/localhost@EXAMPLE.TEST",
		w.PartnerKeytab: "pop/localhost@PARTNER.TEST",
	} {
		list := klist(t, "-k", keytab)
		for principal := range strings.FieldsSeq(want) {
			if strings.Count(list, "1 "+principal) != 2 {
				t.Errorf("%s should have two keys of %s:\n%s", keytab, principal, list)
			}
		}
		if info, err := os.Stat(keytab); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", keytab, info.Mode(), err)
		}
	}
}

func checkRC4(t *testing.T, w *testenv.World) {
	w.AddService(t, "pop/rc4.example.test", "arcfour-hmac")
	cache := w.Kinit(t, "alice")
	w.Ticket(t, cache, "pop/rc4.example.test")
	if list := klist(t, "-e", cache); !strings.Contains(list, "aes256-cts-hmac-sha1-96, DEPRECATED:arcfour-hmac") {
		t.Errorf("no RC4 ticket with an AES session key:\n%s", list)
	}
	weak := w.Kinit(t, "alice")
	w.WeakTicket(t, weak, "pop/rc4.example.test")
	if list := klist(t, "-e", weak); !strings.Contains(list, "DEPRECATED:arcfour-hmac, DEPRECATED:arcfour-hmac") {
		t.Errorf("no RC4 ticket with an RC4 session key:\n%s", list)
	}
}

func checkPast(t *testing.T, w *testenv.World) {
	cache := w.PastTicket(t, "alice", "pop/localhost", 2*time.Hour, time.Hour)
	if list := klist(t, cache); !strings.Contains(list, "pop/localhost@EXAMPLE.TEST") {
		t.Errorf("no ticket:\n%s", list)
	}
	// klist -s asks whether the cache holds a ticket that is still good.
	cmd := exec.CommandContext(t.Context(), testenv.Need(t, "klist"), "-s", cache)
	if err := cmd.Run(); err == nil {
		t.Errorf("klist finds the ticket good:\n%s", klist(t, cache))
	}
}

func checkBrief(t *testing.T, w *testenv.World) {
	list := klist(t, w.Kinit(t, "brief"))
	_, rest, _ := strings.Cut(list, "Service principal\n")
	var times []time.Time
	for i := 0; i+17 <= len(rest) && len(times) < 2; i += 19 {
		at, err := time.Parse("01/02/06 15:04:05", rest[i:i+17])
		if err != nil {
			t.Fatalf("%v in:\n%s", err, list)
		}
		times = append(times, at)
	}
	if len(times) < 2 || times[1].Sub(times[0]) != 5*time.Second {
		t.Errorf("a brief ticket lives from %v to, in:\n%s", times, list)
	}
}

func checkRotate(t *testing.T, w *testenv.World) {
	const service = "pop/rotate.example.test"
	keytab := w.AddService(t, service)
	count := func(kvno string) int { return strings.Count(klist(t, "-k", keytab), kvno+" "+service) }
	if count("1") != 2 {
		t.Errorf("a new service has not two keys:\n%s", klist(t, "-k", keytab))
	}
	w.Rotate(t, keytab, service, true)
	if count("1") != 2 || count("2") != 2 {
		t.Errorf("after a rotation that keeps old keys:\n%s", klist(t, "-k", keytab))
	}
	if kvno := w.Ticket(t, w.Kinit(t, "alice"), service); kvno != 2 {
		t.Errorf("new tickets are for key version %d, want 2", kvno)
	}
	w.Rotate(t, keytab, service, false)
	if count("1") != 0 || count("2") != 0 || count("3") != 2 {
		t.Errorf("after a rotation that replaces:\n%s", klist(t, "-k", keytab))
	}
	if info, err := os.Stat(keytab); err != nil || info.Mode() != 0o600 {
		t.Errorf("keytab: mode %v, %v", info.Mode(), err)
	}
}

// klist lists a cache or keytab.
func klist(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, testenv.Need(t, "klist"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("klist: %v: %s", err, out)
	}
	return string(out)
}

// TestServerConfig: a client that trusts the authority accepts the server by
// each of its names, and one that does not, does not.
func TestServerConfig(t *testing.T) {
	ca, err := testenv.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	config := ca.ServerConfig(t)
	for _, name := range []string{"localhost", "pop.example.test", "127.0.0.1", "::1"} {
		if err := handshake(t, config, &tls.Config{RootCAs: ca.Pool(), ServerName: name}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, err := testenv.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	if handshake(t, config, &tls.Config{RootCAs: other.Pool(), ServerName: "localhost"}) == nil {
		t.Error("another authority's certificate was accepted")
	}
	if handshake(t, config, &tls.Config{RootCAs: ca.Pool(), ServerName: "pop.partner.test"}) == nil {
		t.Error("another host's certificate was accepted")
	}
}

// handshake returns the client's verdict.
func handshake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(10 * time.Second))
		_ = tls.Server(c, server).Handshake() // the client's verdict is what counts
	}()
	defer func() { <-done }()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", l.Addr().String(), client)
	if err == nil {
		c.Close()
	}
	return err
}
