package config

import (
	"cmp"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A Throttle slows down the guessing of passwords.
type Throttle struct {
	Place

	Enabled bool // default: true
	// FailuresPerMinute is how many failed logins a user may have in a minute
	// at one address (a /64 for IPv6). From all addresses together a user may
	// have five times, and an address with all its users ten times as many.
	// Default: 20.
	FailuresPerMinute int
	// Delay is how long the answer to a user's fourth failure at an address is
	// held back; that to each further one twice as long, MaxDelay at most, as
	// long as FailuresPerMinute has not forgiven them. At most 30s; 0: not at
	// all. Default: 1s, and 10s for MaxDelay.
	Delay, MaxDelay time.Duration
}

func (f *File) readThrottle(d *decoder, b *hclsyntax.Block) {
	t := &f.Throttle
	t.Place = d.block(b, schema{what: "throttle", fields: []field{
		may("enabled", value(boolean(&t.Enabled))),
		may("failures_per_minute", value(number(&t.FailuresPerMinute, 1, 1_000_000))),
		may("delay", value(duration(&t.Delay, 0, 30*time.Second, ""))),
		may("max_delay", value(duration(&t.MaxDelay, 0, 30*time.Second, ""))),
	}})
	if t.MaxDelay < t.Delay {
		if t.has("max_delay") {
			d.errorf(t.At("max_delay"), "Delay too short", "It must be at least delay, %s.", brief(t.Delay))
		}
		t.MaxDelay = t.Delay
	}
}

// Limits bound what clients can make the server hold.
type Limits struct {
	Place

	Connections           int // of all listeners together. Default: 20000
	ConnectionsPerAddress int // default: 100
	// ConnectionsPerUser is how many sessions somebody may have at a time, who
	// has been proven. Default: 20.
	ConnectionsPerUser int
	// MemoryBeforeLogin is what the long lines, of AUTH, and the tickets of all
	// clients that have not logged in may take, in octets, 1MiB to 64GiB.
	// Default: 64MiB.
	MemoryBeforeLogin int64
}

func (f *File) readLimits(d *decoder, b *hclsyntax.Block) {
	l := &f.Limits
	l.Place = d.block(b, schema{what: "limits", fields: []field{
		may("connections", value(number(&l.Connections, 1, 10_000_000))),
		may("connections_per_address", value(number(&l.ConnectionsPerAddress, 1, 10_000_000))),
		may("connections_per_user", value(number(&l.ConnectionsPerUser, 1, 10_000_000))),
		may("memory_before_login", value(size(&l.MemoryBeforeLogin, 1<<20, 64<<30))),
	}})
}

// Locks say where the sessions of all servers meet.
type Locks struct {
	Place

	// Directory holds a lock file for each maildrop. Required. Default:
	// "locks" in the state directory.
	Directory string
}

func (f *File) readLocks(d *decoder, b *hclsyntax.Block) {
	f.Locks.Place = d.block(b, schema{what: "locks", fields: []field{must("directory", value(path(&f.Locks.Directory)))}})
}

// LocksDir returns the directory of locks.
func (f *File) LocksDir() string {
	return cmp.Or(f.Locks.Directory, filepath.Join(f.StateDir, "locks"))
}

// A Log says what is logged, how and where to.
type Log struct {
	Place

	Level  slog.Level // "debug", "info", "warn" or "error". Default: "info"
	Format string     // "text" or "json". Default: "text"
	File   string     // default: "", standard error
}

func (f *File) readLog(d *decoder, b *hclsyntax.Block) {
	l := &f.Log
	level := "info"
	l.Place = d.block(b, schema{what: "log", fields: []field{
		may("level", value(oneOf(&level, "debug", "info", "warn", "error"))),
		may("format", value(oneOf(&l.Format, "text", "json"))),
		may("file", value(path(&l.File))),
	}})
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}
	l.Level = levels[level] // info is zero
}

// An Audit says where the record goes of logins and refusals, of who acted as
// whom, and of deletions.
type Audit struct {
	Place

	// File gets one JSON object a line, and is opened anew when the
	// configuration is read again. Required.
	File string
}

func (f *File) readAudit(d *decoder, b *hclsyntax.Block) {
	a := &Audit{}
	a.Place = d.block(b, schema{what: "audit", fields: []field{must("file", value(path(&a.File)))}})
	f.Audit = a
}
