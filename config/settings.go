package config

import (
	"log/slog"

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
}

func (f *File) readThrottle(d *decoder, b *hclsyntax.Block) {
	t := &f.Throttle
	t.Place = d.block(b, schema{what: "throttle", fields: []field{
		may("enabled", value(boolean(&t.Enabled))),
		may("failures_per_minute", value(number(&t.FailuresPerMinute, 1, 1_000_000))),
	}})
}

// Limits bound what clients can make the server hold.
type Limits struct {
	Place

	Connections           int // of all listeners together. Default: 20000
	ConnectionsPerAddress int // default: 100
}

func (f *File) readLimits(d *decoder, b *hclsyntax.Block) {
	l := &f.Limits
	l.Place = d.block(b, schema{what: "limits", fields: []field{
		may("connections", value(number(&l.Connections, 1, 10_000_000))),
		may("connections_per_address", value(number(&l.ConnectionsPerAddress, 1, 10_000_000))),
	}})
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
