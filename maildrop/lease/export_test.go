package lease

// ParseRecord takes the text of a lock file apart.
var ParseRecord = parseRecord

// LocalLocks finds NFS whose locks end at this machine.
var LocalLocks = localLocks

// Encode returns the record as it is written to a file of size octets.
func (r *Record) Encode(size int64) []byte { return r.encode(size) }

// Suspects returns how many leases a look would ask for now.
func (k *Locker) Suspects() int {
	defer func() { k.watch.now-- }()
	return len(k.suspects())
}

// Look makes the Locker look at once.
func (k *Locker) Look() { k.look() }
