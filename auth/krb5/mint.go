package krb5

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
)

// A Mint is a realm that needs no KDC: it makes the keys of services and
// issues tickets for them to whoever it is told to. It serves trials on one
// machine, and tests. It is a [KeySource], safe for concurrent use.
type Mint struct {
	// Realm is the realm of the services.
	Realm string

	mu  sync.Mutex
	set *KeySet
}

var _ KeySource = (*Mint)(nil)

// NewMint returns the mint of a realm with a random key, of version 1 and
// enctype 18, for each service, such as "pop/localhost".
func NewMint(realm string, services ...string) (*Mint, error) {
	m := &Mint{Realm: realm}
	for _, name := range services {
		p, err := ParsePrincipal(name)
		if err != nil {
			return nil, err
		}
		p.Realm = realm
		if err := m.AddKey(p, 1, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// AddKey makes a random key for a service, beside those that there are.
func (m *Mint) AddKey(service Principal, kvno uint32, etype int32) error {
	if err := service.Valid(); err != nil {
		return err
	}
	secret, err := newSubkey(etype)
	if err != nil {
		return err
	}
	k := Key{Principal: service, Kvno: kvno, Etype: etype, Created: time.Now(), secret: secret.KeyValue}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set = newKeySet(append(m.set.All(), k))
	return nil
}

// RemoveKeys forgets the keys of a service of all versions below kvno.
func (m *Mint) RemoveKeys(service Principal, kvno uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := func(k Key) bool { return k.Principal.Equal(service) && k.Kvno < kvno }
	m.set = newKeySet(slices.DeleteFunc(m.set.All(), old))
}

// Keys returns the services' keys.
func (m *Mint) Keys() *KeySet {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.set
}

// WriteKeytab writes the services' keys as a keytab that only its owner can
// read, in place of a file that is there.
func (m *Mint) WriteKeytab(path string) error {
	return writeSecret(path, appendKeytab(nil, m.Keys().All()))
}

// key returns the newest key of a service, of an enctype if that is not 0.
func (m *Mint) key(service Principal, etype int32) (Key, error) {
	for _, k := range m.Keys().All() {
		if k.Principal.Equal(service) && (etype == 0 || k.Etype == etype) {
			return k, nil
		}
	}
	return Key{}, fmt.Errorf("krb5: the mint has no key for %s", service)
}

// writeSecret writes a file of mode 0600 by a rename, so that who reads it
// sees the old one or the new one.
func writeSecret(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".krb5-*") // mode 0600
	if err != nil {
		return fmt.Errorf("krb5: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("krb5: %w", err)
	}
	return nil
}
