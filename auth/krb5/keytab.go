package krb5

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kpopd/auth"
)

const (
	defaultKeepOld = 24 * time.Hour
	checkInterval  = time.Second
	freshInterval  = 20 * time.Millisecond
	maxKeytab      = 16 << 20
)

// KeytabOptions are the options of [LoadKeytab].
type KeytabOptions struct {
	// Service must have a key in the file, else the file is refused. "": "pop".
	Service string
	// KeepOld is how long a key is still tried after it went from the file,
	// for an administrator who replaced the keytab where it should have been
	// added to: clients hold tickets sealed with the old key. It should be the
	// realm's longest ticket life. 0: 24 hours; negative: not at all.
	KeepOld time.Duration
	// Log gets what happens to the file. nil: [slog.Default].
	Log *slog.Logger
}

// A Keytab is the keys of a keytab file, kept up with the file. It is a
// [KeySource], safe for concurrent use, and starts no goroutine: the file is
// looked at when keys are asked for, at most once a second.
type Keytab struct {
	path string
	KeytabOptions

	set      atomic.Pointer[KeySet]
	started  time.Time
	checked  atomic.Int64 // since started, in nanoseconds
	unusable atomic.Bool  // the last look found a file that cannot be used

	mu       sync.Mutex
	loaded   auth.Stamp
	sum      [sha256.Size]byte // of what was loaded
	complain string            // the last trouble logged
}

var _ KeySource = (*Keytab)(nil)

// LoadKeytab reads the keytab at path. A file that is not regular, that anyone
// may read or change, that cannot be parsed, or that has no key for the
// service is an error. No error shows any of the file's octets.
func LoadKeytab(path string, o KeytabOptions) (*Keytab, error) {
	k := &Keytab{path: path, KeytabOptions: o, started: time.Now()}
	if k.Service == "" {
		k.Service = defaultService
	}
	if k.KeepOld == 0 {
		k.KeepOld = defaultKeepOld
	}
	if k.Log == nil {
		k.Log = slog.Default()
	}
	if err := k.Reload(); err != nil {
		return nil, err
	}
	return k, nil
}

// Path returns the name of the file.
func (k *Keytab) Path() string { return k.path }

// Keys returns the keys of the file, read again if it has changed. While the
// file is not to be used, they are the ones it had before; the log says so.
func (k *Keytab) Keys() *KeySet {
	now := int64(time.Since(k.started))
	last := k.checked.Load()
	if now-last >= int64(checkInterval) && k.checked.CompareAndSwap(last, now) {
		k.refresh()
	}
	return k.set.Load()
}

// Fresh is Keys with a look at the file sooner: for a ticket that no key
// opens, which may be of a key just added. Strangers can make it look, so it
// does so at most once in 20 ms, and not at a file that is of no use anyway.
func (k *Keytab) Fresh() *KeySet {
	now := int64(time.Since(k.started))
	last := k.checked.Load()
	if now-last >= int64(freshInterval) && !k.unusable.Load() && k.checked.CompareAndSwap(last, now) {
		k.refresh()
	}
	return k.Keys()
}

// Reload reads the file whether it has changed or not. On an error the keys
// stay as they were.
func (k *Keytab) Reload() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.load()
}

// Prepare reads the file as Reload does and returns its keys, which are put to
// use by commit and not before. It is for a configuration that may turn out
// wrong elsewhere.
func (k *Keytab) Prepare() (keys *KeySet, commit func(), err error) {
	loaded, err := k.parse()
	if err != nil {
		return nil, nil, err
	}
	return loaded.set, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.use(loaded)
	}, nil
}

// refresh reloads a file that has changed. A file that could not be used is
// tried again each time, but complained of once.
func (k *Keytab) refresh() {
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	if !k.loaded.IsOf(k.path) {
		err = k.load()
	}
	k.unusable.Store(err != nil)
	if err == nil {
		k.complain = ""
		return
	}
	if text := err.Error(); text != k.complain {
		k.complain = text
		k.Log.Error("keytab is not usable, keeping the keys it had", "path", k.path, "err", err)
	}
}

// load reads, checks and swaps.
func (k *Keytab) load() error {
	loaded, err := k.parse()
	if err == nil {
		k.use(loaded)
	}
	return err
}

// A loadedKeytab is the file as one look at it found it.
type loadedKeytab struct {
	keys  []Key
	set   *KeySet
	stamp auth.Stamp
	sum   [sha256.Size]byte
}

// parse reads and checks.
func (k *Keytab) parse() (loadedKeytab, error) {
	b, stamp, err := auth.ReadFile(k.path, maxKeytab, 0o007)
	if err != nil {
		return loadedKeytab{}, fmt.Errorf("keytab: %w", err)
	}
	keys, err := parseKeytab(b)
	if err != nil {
		return loadedKeytab{}, fmt.Errorf("keytab %s: %w", k.path, err)
	}
	set := newKeySet(keys)
	if !set.HasService(k.Service) {
		return loadedKeytab{}, fmt.Errorf("keytab %s: krb5: no usable key for %s/*, %s", k.path, k.Service, set.only())
	}
	return loadedKeytab{keys, set, stamp, sha256.Sum256(b)}, nil
}

// use swaps, unless there is nothing new.
func (k *Keytab) use(loaded loadedKeytab) {
	same := loaded.sum == k.sum && loaded.stamp.Mode == k.loaded.Mode
	k.loaded, k.sum = loaded.stamp, loaded.sum
	if same {
		return
	}
	old, set := k.set.Load(), loaded.set
	if kept := k.retire(old, set); len(kept) > 0 {
		set = newKeySet(append(loaded.keys, kept...))
	}
	k.set.Store(set)
	k.report(old, set)
}

// retire returns the keys of the old set that are not in the new one and that
// are still to be tried.
func (k *Keytab) retire(old, set *KeySet) []Key {
	if old == nil || k.KeepOld < 0 {
		return nil
	}
	now := time.Now()
	var kept []Key
	for _, o := range old.keys {
		if slices.ContainsFunc(set.byName[o.Principal.String()], o.same) {
			continue
		}
		if o.retired.IsZero() {
			o.retired = now.Add(k.KeepOld)
		}
		if now.Before(o.retired) {
			kept = append(kept, o)
		}
	}
	return kept
}

// report logs a change of keys.
func (k *Keytab) report(old, set *KeySet) {
	if k.loaded.Mode.Perm()&0o070 != 0 {
		k.Log.Warn("keytab is open to its group", "path", k.path, "mode", k.loaded.Mode.Perm().String())
	}
	if old == nil {
		return
	}
	current, retired := 0, 0
	for _, key := range set.keys {
		if key.retired.IsZero() {
			current++
		} else {
			retired++
		}
	}
	k.Log.Info("keytab reloaded", "path", k.path, "keys", current, "old_keys_kept", retired)
}
