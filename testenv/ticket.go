package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Clients is what programs need that get and use tickets of a KDC.
type Clients struct {
	// Krb5Conf is a krb5.conf for clients and servers: AES only, no DNS, host
	// names as typed.
	Krb5Conf string

	dir   string
	mu    sync.Mutex
	files int // temporary caches and keytabs made so far
}

// Password returns the password of every user: the principal's name without
// its realm, and "-password".
func (c *Clients) Password(principal string) string {
	name, _, _ := strings.Cut(principal, "@")
	return name + "-password"
}

// Kinit gets a ticket-granting ticket for a user with kinit(1), to which args
// are handed, and returns the credentials cache, a file. The realm is the home
// realm unless the principal names another.
func (c *Clients) Kinit(t TB, principal string, args ...string) string {
	t.Helper()
	Need(t, "kinit")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cache := c.path(".ccache")
	if err := c.kinit(ctx, cache, principal, c.Password(principal), args...); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return cache
}

func (c *Clients) kinit(ctx context.Context, cache, principal, password string, args ...string) error {
	argv := append([]string{find("kinit"), "-c", "FILE:" + cache}, args...)
	_, err := output(ctx, c.Env(cache), password+"\n", append(argv, principal)...)
	return err
}

// Ticket gets a ticket for a service, such as "pop/localhost", into a cache
// with kvno(1) and returns the version of the key that the ticket is for.
func (c *Clients) Ticket(t TB, cache, service string) int {
	t.Helper()
	kvno, err := c.ticket(t, c.Env(cache), service)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return kvno
}

// WeakTicket is Ticket by a client that likes RC4 best: from a service that
// has an RC4 key it gets an RC4 session key.
func (w *World) WeakTicket(t TB, cache, service string) int {
	t.Helper()
	kvno, err := w.ticket(t, append(w.Env(cache), "KRB5_CONFIG="+w.WeakConf), service)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return kvno
}

func (c *Clients) ticket(t TB, env []string, service string) (int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := output(ctx, env, "", Need(t, "kvno"), service)
	if err != nil {
		return 0, err
	}
	// "pop/localhost@EXAMPLE.TEST: kvno = 1"
	_, number, _ := strings.Cut(out, "kvno = ")
	kvno, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		return 0, fmt.Errorf("kvno said %q", out)
	}
	return kvno, nil
}

// Env returns the environment for a Kerberos program of this KDC: that of the
// test with KRB5_CONFIG and, unless cache is empty, KRB5CCNAME set. With
// an empty cache the program finds no tickets.
func (c *Clients) Env(cache string) []string {
	env := make([]string, 0, len(os.Environ())+2)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "KRB5") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	env = append(env, "LC_ALL=C", "KRB5_CONFIG="+c.Krb5Conf)
	if cache != "" {
		env = append(env, "KRB5CCNAME=FILE:"+cache)
	}
	return env
}

// PastTicket returns a cache with a ticket for a service that the KDC gave
// out so long ago, for so long a life. A life shorter than ago makes an
// expired ticket, which clients refuse to use; the one that [Sendauth]
// returns uses it when told to (-stale).
func (w *World) PastTicket(t TB, user, service string, ago, life time.Duration) string {
	t.Helper()
	Need(t, "faketime")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cache := w.path(".ccache")
	data, err := w.past(ctx, user, service, ago, life)
	if err == nil {
		err = os.WriteFile(cache, []byte(data), 0o600)
	}
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return cache
}

// past runs image/past.sh on a port that is free, again when it was not.
func (w *World) past(ctx context.Context, user, service string, ago, life time.Duration) (data string, err error) {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
	for range 3 {
		var addrs []string
		if addrs, err = freeAddrs(1); err != nil {
			return "", err
		}
		_, port, _ := strings.Cut(addrs[0], ":")
		data, err = w.host.admin(ctx, "", "sh", w.host.script("past.sh"), w.host.kdcDir(), port,
			seconds(ago), seconds(life), user, w.Password(user), service)
		if err == nil {
			return data, nil
		}
	}
	return data, err
}

// path returns the name of a new file in the clients' directory. Files there
// outlive the test that asked: a server may still hold them.
func (c *Clients) path(suffix string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files++
	return filepath.Join(c.dir, fmt.Sprintf("%04d%s", c.files, suffix))
}
