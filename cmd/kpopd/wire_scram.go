package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"kpopd/auth"
	"kpopd/auth/scram"
	"kpopd/auth/userfile"
	"kpopd/config"
)

// scramSecretSize is the size of the secret behind the salts of those who have
// no keys for SCRAM.
const scramSecretSize = 32

// scramHash returns the hash of one of SCRAM's mechanisms, and whether it is
// the one with channel binding; "" for another mechanism.
func scramHash(name string) (hash string, plus bool) {
	base, plus := strings.CutSuffix(name, "-PLUS")
	if hash, ok := strings.CutPrefix(base, "SCRAM-"); ok && (hash == scram.SHA1 || hash == scram.SHA256) {
		return hash, plus
	}
	return "", false
}

// scram returns the mechanism called name, or nil. One that is named is offered
// as soon as anybody has keys for it. One that is not is offered only while
// everybody has, which nobody of a directory does: some clients choose SCRAM
// wherever they see it, and do not try another mechanism when it fails.
func (b *builder) scram(name string, named bool) auth.Mechanism {
	hash, plus := scramHash(name)
	if hash == "" || len(b.users) == 0 {
		return nil
	}
	users, only := b.users, len(b.users) == b.passwords
	m := &scram.Mechanism{Hash: hash, Plus: plus, Keys: users, Secret: b.scramSecret}
	m.Offered = func() bool {
		have, all := users.count(hash)
		return have > 0 && (named || only && have == all)
	}
	if b.throttle != nil {
		m.Throttle = b.throttle
	}
	return m
}

// useless warns once of a mechanism of SCRAM that is named at a place, with or
// without channel binding, and for which nobody has keys.
func (b *builder) useless(at config.Range, name string) {
	hash, _ := scramHash(name)
	scheme := "SCRAM-" + hash
	if hash == "" || slices.Contains(b.warned, scheme) {
		return
	}
	if have, _ := b.users.count(hash); have == 0 {
		b.warned = append(b.warned, scheme)
		b.warn(at, "%s is not offered as long as no user has a {PLAIN} or a {%s} secret", scheme, scheme)
	}
}

// besides tells each mechanism of SCRAM without channel binding of those with.
func besides(all auth.Mechanisms) {
	var plus auth.Mechanisms
	for _, mech := range all {
		if m, ok := mech.(*scram.Mechanism); ok && m.Plus {
			plus = append(plus, m)
		}
	}
	for _, mech := range all {
		if m, ok := mech.(*scram.Mechanism); ok && !m.Plus {
			m.PlusOffered = func(p auth.Peer) bool { return len(plus.Usable(p)) > 0 }
		}
	}
}

// scramUsers are the keys of all files of users, asked in their order as a
// chain of authenticators is: whoever knows the user decides.
type scramUsers []*userfile.File

var _ scram.Keys = scramUsers(nil)

// SCRAM implements [scram.Keys]. All files are asked, whoever has the answer,
// so that it takes the same time for a user of any.
func (u scramUsers) SCRAM(ctx context.Context, p auth.Peer, user, hash string) (auth.Identity, auth.SCRAMKeys, error) {
	var (
		id    auth.Identity
		keys  auth.SCRAMKeys
		err   error = auth.ErrUnknown
		known bool
	)
	for _, f := range u {
		i, k, e := f.SCRAM(ctx, p, user, hash)
		if !known && !errors.Is(e, auth.ErrUnknown) {
			id, keys, err, known = i, k, e, true
		}
	}
	return id, keys, err
}

// SCRAMParameters implements [scram.Keys] with those of the first file in which
// somebody has keys.
func (u scramUsers) SCRAMParameters(hash string) (iterations, salt int) {
	for _, f := range u {
		if have, _ := f.SCRAMUsers(hash); have > 0 {
			return f.SCRAMParameters(hash)
		}
	}
	return u[0].SCRAMParameters(hash)
}

// count returns how many users can have keys for a hash, and how many there
// are.
func (u scramUsers) count(hash string) (have, all int) {
	for _, f := range u {
		h, a := f.SCRAMUsers(hash)
		have, all = have+h, all+a
	}
	return have, all
}

// scramSecretOf returns the secret kept in a state directory, which it makes
// if there is none. It is not a key to anything, but whoever has it can tell
// whether a salt is that of a user. Servers whose clients may meet any of them
// should have the same one.
func scramSecretOf(dir string) ([]byte, error) {
	path := filepath.Join(dir, "scram.secret")
	for range 3 {
		secret, err := readScramSecret(path)
		if !errors.Is(err, fs.ErrNotExist) {
			return secret, err
		}
		if err := makeScramSecret(dir, path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: keeps vanishing", path)
}

func readScramSecret(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() != scramSecretSize:
		return nil, fmt.Errorf("%s: not a file of %d octets; one that is removed is made anew", path, scramSecretSize)
	case info.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("%s: mode %#o lets everybody at it: chmod o-rwx it", path, info.Mode().Perm())
	}
	secret := make([]byte, scramSecretSize)
	_, err = io.ReadFull(f, secret)
	return secret, err
}

// makeScramSecret makes the whole file beside path and then links it there, so
// that nobody ever sees half of one. fs.ErrExist: somebody else was first.
func makeScramSecret(dir, path string) (err error) {
	f, err := os.CreateTemp(dir, ".scram.secret.*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	secret := make([]byte, scramSecretSize)
	_, _ = rand.Read(secret) // never fails
	if _, err := f.Write(secret); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
