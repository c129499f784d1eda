package testenv

import (
	"context"
	"fmt"
	"os"
	"strings"
)

// Kadmin runs one kadmin command in the database of a realm and returns what
// it printed.
func (w *World) Kadmin(t TB, realm, query string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := w.kadmin(ctx, realm, query)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	return out
}

// kadmin runs a kadmin query. kadmin.local succeeds whatever the query came
// to; with -q it prints the complaint to standard error, which 2>&1 brings
// here from either backend.
func (w *World) kadmin(ctx context.Context, realm, query string) (string, error) {
	out, err := w.host.admin(ctx, "", "sh", "-c", `PATH=$PATH:/usr/sbin; exec kadmin.local -r "$1" -q "$2" 2>&1`, "kadmin", realm, query)
	if err == nil && strings.Contains(out, " while ") {
		err = fmt.Errorf("kadmin: %s: %s", query, out)
	}
	return out, err
}

// AddUser makes a user in EXAMPLE.TEST with a password that [World.Password]
// knows. Flags are addprinc's, such as "-maxlife 5s".
func (w *World) AddUser(t TB, name string, flags ...string) {
	t.Helper()
	w.Kadmin(t, Realm, fmt.Sprintf("addprinc -pw %s %s %s", w.Password(name), strings.Join(flags, " "), name))
}

// AddService makes a service in EXAMPLE.TEST and returns a keytab of mode 0600
// with its keys. The enctypes are kadmin's, such as "arcfour-hmac"; none
// means AES-256 and AES-128.
//
// Tickets for a service whose only key is RC4's are sealed with RC4. MIT's KDC
// gives such a ticket an AES session key when the client permits no other
// ([World.Ticket]), and an RC4 one when the client prefers it
// ([World.WeakTicket]).
func (w *World) AddService(t TB, name string, enctypes ...string) string {
	t.Helper()
	keys := ""
	for i, etype := range enctypes {
		if i > 0 {
			keys += ","
		}
		keys += etype + ":normal"
	}
	if keys != "" {
		keys = "-e " + keys
	}
	w.Kadmin(t, Realm, fmt.Sprintf("addprinc -randkey %s %s", keys, name))
	return w.ExportKeytab(t, name)
}

// ExportKeytab returns a new keytab, of mode 0600, with the present keys of
// principals of EXAMPLE.TEST.
func (w *World) ExportKeytab(t TB, principals ...string) string {
	t.Helper()
	file := w.path(".keytab")
	w.export(t, file, principals)
	return file
}

// Rotate gives a service a new key, one version up, and writes the keytab
// anew by renaming, as an administrator's tool would. With keepOld the KDC
// and the keytab hold the former keys too, as during a change-over; tickets
// already given out then stay good.
func (w *World) Rotate(t TB, keytab, service string, keepOld bool) {
	t.Helper()
	flag := ""
	if keepOld {
		flag = "-keepold"
	}
	w.Kadmin(t, Realm, fmt.Sprintf("cpw -randkey %s %s", flag, service))
	w.export(t, keytab, []string{service})
}

// export writes the keys of principals to file, atomically.
func (w *World) export(t TB, file string, principals []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// The keytab passes through standard output, for the KDC may be in a
	// container; what ktadd says does not.
	const script = `PATH=$PATH:/usr/sbin; d=$(mktemp -d) || exit
trap 'rm -rf "$d"' EXIT
kadmin.local -r "$1" -q "ktadd -norandkey -k $d/keytab $2" >&2 && cat "$d/keytab"`
	data, err := w.host.admin(ctx, "", "sh", "-c", script, "export", Realm, strings.Join(principals, " "))
	if err == nil && data == "" {
		err = fmt.Errorf("no keys for %v", principals)
	}
	if err == nil {
		err = os.WriteFile(file+".new", []byte(data), 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		t.Fatalf("testenv: export keytab: %v", err)
	}
}
