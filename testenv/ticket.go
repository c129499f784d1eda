package testenv

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Password returns the password of a user of the world: the principal's name
// without its realm, and "-password".
func (w *World) Password(principal string) string {
	name, _, _ := strings.Cut(principal, "@")
	return name + "-password"
}

// Kinit gets a ticket-granting ticket for a user with kinit(1), to which args
// are handed, and returns the credentials cache, a file. The realm is
// EXAMPLE.TEST unless the principal names another.
func (w *World) Kinit(t testing.TB, principal string, args ...string) string {
	t.Helper()
	Need(t, "kinit")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cache := w.path(".ccache")
	if err := w.kinit(ctx, cache, principal, w.Password(principal), args...); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return cache
}

func (w *World) kinit(ctx context.Context, cache, principal, password string, args ...string) error {
	argv := append([]string{find("kinit"), "-c", "FILE:" + cache}, args...)
	_, err := output(ctx, w.Env(cache), password+"\n", append(argv, principal)...)
	return err
}

// Ticket gets a ticket for a service, such as "pop/localhost", into a cache
// with kvno(1) and returns the version of the key that the ticket is for.
func (w *World) Ticket(t testing.TB, cache, service string) int {
	t.Helper()
	kvno, err := w.ticket(t, w.Env(cache), service)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return kvno
}

// WeakTicket is Ticket by a client that likes RC4 best: from a service that
// has an RC4 key it gets an RC4 session key.
func (w *World) WeakTicket(t testing.TB, cache, service string) int {
	t.Helper()
	kvno, err := w.ticket(t, append(w.Env(cache), "KRB5_CONFIG="+w.WeakConf), service)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return kvno
}

func (w *World) ticket(t testing.TB, env []string, service string) (int, error) {
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

// Env returns the environment for a Kerberos program of this world: that of
// the test with KRB5_CONFIG and, unless cache is empty, KRB5CCNAME set. With
// an empty cache the program finds no tickets.
func (w *World) Env(cache string) []string {
	env := make([]string, 0, len(os.Environ())+2)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "KRB5") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	env = append(env, "LC_ALL=C", "KRB5_CONFIG="+w.Krb5Conf)
	if cache != "" {
		env = append(env, "KRB5CCNAME=FILE:"+cache)
	}
	return env
}

// PastTicket returns a cache with a ticket for a service that the KDC gave
// out so long ago, for so long a life. A life shorter than ago makes an
// expired ticket, which clients refuse to use; the one that [Sendauth]
// returns uses it when told to (-stale).
func (w *World) PastTicket(t testing.TB, user, service string, ago, life time.Duration) string {
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
