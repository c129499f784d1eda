package config

import (
	"slices"
	"time"
)

// An MboxFormat is how a line that begins with "From " is told from the
// beginning of a message.
type MboxFormat string

// The formats: such lines are quoted by ">", and ">From " too; they alone are;
// they are, and Content-Length counts; nothing is quoted, and it counts.
const (
	MboxRD  MboxFormat = "mboxrd"
	MboxO   MboxFormat = "mboxo"
	MboxCL  MboxFormat = "mboxcl"
	MboxCL2 MboxFormat = "mboxcl2"
)

// An MboxUIDL is where unique-ids come from.
type MboxUIDL string

// The sources: the header field X-UIDL; UW's UIDVALIDITY and X-UID; neither. A
// message that has no such field gets a digest. Or what other servers computed.
const (
	MboxHeader  MboxUIDL = "x-uidl"
	MboxUW      MboxUIDL = "uw"
	MboxDigest  MboxUIDL = "digest"
	MboxPopa3d  MboxUIDL = "popa3d"
	MboxTpop3d  MboxUIDL = "tpop3d"
	MboxQpopper MboxUIDL = "qpopper"
)

// An MboxLock is a way to lock a file.
type MboxLock string

// The ways: fcntl(2), flock(2), a file beside the mailbox, that where the
// directory can be written.
const (
	MboxFcntl      MboxLock = "fcntl"
	MboxFlock      MboxLock = "flock"
	MboxDotlock    MboxLock = "dotlock"
	MboxDotlockTry MboxLock = "dotlock_try"
)

// An MboxRewrite is how messages are removed.
type MboxRewrite string

// The choices: by a new file where that keeps owner, mode and attributes; never
// by a new one.
const (
	MboxAuto    MboxRewrite = "auto"
	MboxInPlace MboxRewrite = "in-place"
)

// Mbox says how mailboxes are read, locked and written.
type Mbox struct {
	// Format is the format of all mailboxes. Default: "mboxrd".
	Format MboxFormat
	// UIDL says where unique-ids come from. Default: "x-uidl".
	UIDL MboxUIDL
	// Locks are the ways in which mailboxes are locked, all of them. Default:
	// "fcntl" and "dotlock".
	Locks []MboxLock
	// LockTimeout is how long another program's lock is waited for, 1s to 10m.
	// Default: 30s.
	LockTimeout time.Duration
	// Rewrite says how messages are removed. Default: "auto".
	Rewrite MboxRewrite
}

// fields sets the defaults and says how the block is read.
func (m *Mbox) fields() []field {
	*m = Mbox{Format: MboxRD, UIDL: MboxHeader, Locks: []MboxLock{MboxFcntl, MboxDotlock}, LockTimeout: 30 * time.Second, Rewrite: MboxAuto}
	lock := func(dst *MboxLock) setter { return oneOf(dst, MboxFcntl, MboxFlock, MboxDotlock, MboxDotlockTry) }
	return []field{
		may("format", value(oneOf(&m.Format, MboxRD, MboxO, MboxCL, MboxCL2))),
		may("uidl", value(oneOf(&m.UIDL, MboxHeader, MboxUW, MboxDigest, MboxPopa3d, MboxTpop3d, MboxQpopper))),
		may("locks", value(list(&m.Locks, lock))),
		may("lock_timeout", value(duration(&m.LockTimeout, time.Second, 10*time.Minute, ""))),
		may("rewrite", value(oneOf(&m.Rewrite, MboxAuto, MboxInPlace))),
	}
}

// check refuses locks that cannot work together.
func (m *Mbox) check(d *decoder, where *Maildrop) {
	at := where.At("locks")
	switch {
	case slices.Contains(m.Locks, MboxDotlock) && slices.Contains(m.Locks, MboxDotlockTry):
		d.errorf(at, `Invalid value for "locks"`, `It is either "dotlock" or "dotlock_try".`)
	case len(m.Locks) == 1 && m.Locks[0] == MboxDotlockTry:
		d.errorf(at, `Invalid value for "locks"`, `Where no lock file can be made, nothing would be locked: add "fcntl".`)
	}
}
