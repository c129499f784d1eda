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
// as soon as anybody can have keys for it, which somebody of a directory with a
// secret_attribute can. One that is not is offered only while everybody has,
// which nobody knows of a directory: some clients choose SCRAM wherever they see
// it, and do not try another mechanism when it fails.
func (b *builder) scram(name string, named bool) auth.Mechanism {
	hash, plus := scramHash(name)
	if hash == "" || len(b.keys) == 0 {
		return nil
	}
	m := &scram.Mechanism{Hash: hash, Plus: plus, Keys: b.keys, Secret: b.scramSecret}
	files, only := b.users, len(b.users) == b.passwords
	elsewhere := len(b.keys) > len(files)
	m.Offered = func() bool {
		have, all := files.count(hash)
		return named && (elsewhere || have > 0) || only && have > 0 && have == all
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
	if hash == "" || len(b.keys) > len(b.users) || slices.Contains(b.warned, scheme) {
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

// userFiles are all files of users.
type userFiles []*userfile.File

// count returns how many users can have keys for a hash, and how many there
// are.
func (u userFiles) count(hash string) (have, all int) {
	for _, f := range u {
		h, a := f.SCRAMUsers(hash)
		have, all = have+h, all+a
	}
	return have, all
}

// scramKeys are all that can have keys for SCRAM, files of users and
// directories, asked in their order as a chain of authenticators is: whoever
// knows the user decides.
type scramKeys []scram.Keys

var _ scram.Keys = scramKeys(nil)

// SCRAM implements [scram.Keys]. All are asked, whoever has the answer, so that
// it takes the same time for a user of any.
func (s scramKeys) SCRAM(ctx context.Context, p auth.Peer, user, hash string) (auth.SCRAMUser, error) {
	var (
		found auth.SCRAMUser
		err   error = auth.ErrUnknown
		known bool
	)
	for _, keys := range s {
		u, e := keys.SCRAM(ctx, p, user, hash)
		if !known && (!errors.Is(e, auth.ErrUnknown) || errors.Is(e, auth.ErrUnavailable)) {
			found, err, known = u, e, true
		}
	}
	return found, err
}

// SCRAMParameters implements [scram.Keys] with those of the first in which
// somebody has keys. A directory is taken to have some.
func (s scramKeys) SCRAMParameters(hash string) (iterations, salt int) {
	for _, keys := range s {
		if f, ok := keys.(*userfile.File); ok {
			if have, _ := f.SCRAMUsers(hash); have == 0 {
				continue
			}
		}
		return keys.SCRAMParameters(hash)
	}
	return s[0].SCRAMParameters(hash)
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
// that nobody ever sees half of one, and returns once both are on the disk: a
// salt that a crash changes tells who has none. fs.ErrExist: somebody else was
// first.
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
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
