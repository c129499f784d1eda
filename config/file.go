package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A File is a whole configuration, decoded, defaulted and checked. Nothing
// changes it after [Load], so that it may be used concurrently.
type File struct {
	Place

	// Hostname is the server's name in greetings, in APOP's timestamp, and the
	// host of its Kerberos service. Required.
	Hostname string
	// StateDir is the directory of the replay cache, indexes and locks, which
	// several processes may share. Default: /var/lib/kpopd.
	StateDir string
	// Mechanisms are the SASL mechanisms, and "APOP", that are offered, in the
	// order of preference. Default: nil, every safe one that the rest of the
	// configuration makes usable; APOP and SCRAM-SHA-1 only when they are named,
	// SCRAM-SHA-256 else only while every user can use it.
	Mechanisms []string

	// Listeners are the ports. Without any listener block they are "pop3" on
	// :110 with STLS, "pop3s" on :995 with implicit TLS and, with a kerberos
	// block, "kpop" on :1109 with STLS.
	Listeners []Listener
	TLS       *TLS      // nil: none
	Kerberos  *Kerberos // nil: none
	// Authenticators are the chain, in the order in which they are asked.
	Authenticators []Authenticator
	// Accounts are the rules, the first of which that matches decides. Without
	// any account block there is one rule: whoever has a login name, or a
	// ticket of the server's own realm and one component, has the maildrop of
	// that name. Whom no rule matches is served by the same one. With
	// auth_to_local the last ones are: a login name is the maildrop, and so is
	// the local name of a ticket; without one there is none.
	Accounts []Account
	// Retentions say how long mail is kept; the first that names a maildrop
	// decides. Default: nil, nothing is said of it.
	Retentions []Retention
	// SweepInterval is how often the server removes what is too old, by
	// Retentions, and what has been in quarantine long enough: 1m to 168h.
	// Default: 0, it does not.
	SweepInterval time.Duration
	Maildrop      Maildrop // required
	Throttle      Throttle
	Limits        Limits
	Locks         Locks
	Log           Log
	Audit         *Audit // nil: none

	// Read names the files that were read: the configuration, and what file()
	// read. A change of any of them is a reason to load again.
	Read []string

	sources map[string]*source
}

// Errorf returns an error at a place of the configuration, for what is found
// when it is put to use. The result is a [*Problem].
func (f *File) Errorf(at Range, format string, args ...any) error {
	return f.problem(at, false, format, args...)
}

// Warnf returns a warning at a place of the configuration.
func (f *File) Warnf(at Range, format string, args ...any) *Problem {
	return f.problem(at, true, format, args...)
}

func (f *File) problem(at Range, warning bool, format string, args ...any) *Problem {
	return &Problem{Warning: warning, Summary: fmt.Sprintf(format, args...), Range: at, src: f.sources[at.Filename]}
}

// Source returns the text of a block's argument as it stands in the file, on
// one line and with secrets masked. "": the argument is absent.
func (f *File) Source(p Place, name string) string {
	r, ok := p.args[name]
	s := f.sources[r.Filename]
	if !ok || s == nil || r.End.Byte > len(s.text) {
		return ""
	}
	m := s.masked()
	return strings.Join(strings.Fields(string(m.text[m.move(r.Start.Byte):m.move(r.End.Byte)])), " ")
}

// Load reads the configuration at path, a file or a directory of *.hcl files,
// which count as one file in name order. The File is nil if the diagnostics
// have errors; they may hold warnings when it is not.
func Load(path string) (*File, Diagnostics) {
	sources, err := readSources(path)
	if err != nil {
		return nil, Diagnostics{{Summary: "The configuration cannot be read", Detail: err.Error() + "."}}
	}
	return load(sources)
}

// Parse is [Load] of a text that is already in memory. Its name is for
// messages, and the directory in it for relative paths.
func Parse(name string, text []byte) (*File, Diagnostics) {
	if len(text) > maxSource {
		return nil, Diagnostics{{Summary: "The configuration cannot be read",
			Detail: fmt.Sprintf("%s is larger than %d KiB.", name, maxSource>>10)}}
	}
	return load([]*source{newSource(name, text)})
}

func load(sources []*source) (*File, Diagnostics) {
	d := &decoder{sources: map[string]*source{}, outside: newOutside()}
	f := newFile()
	f.sources = d.sources
	var bodies []*hclsyntax.Body
	for _, s := range sources {
		d.sources[s.name] = s
		f.Read = append(f.Read, s.name)
		body, diags := s.parse()
		d.addHCL(explain(diags))
		if body != nil {
			bodies = append(bodies, body)
		}
	}
	d.partial = d.problems.HasErrors()
	d.file(f, bodies, top(sources[0].name))
	f.Read = append(f.Read, d.outside.close()...)
	d.problems.sort()
	if d.problems.HasErrors() {
		return nil, d.problems
	}
	return f, d.problems
}

func newFile() *File {
	return &File{
		StateDir: "/var/lib/kpopd",
		Throttle: Throttle{Enabled: true, FailuresPerMinute: 20, Delay: time.Second, MaxDelay: 10 * time.Second},
		Limits:   Limits{Connections: 20000, ConnectionsPerAddress: 100, ConnectionsPerUser: 20, MemoryBeforeLogin: 64 << 20},
		Log:      Log{Format: "text"},
	}
}

func top(name string) Range {
	start := hcl.Pos{Line: 1, Column: 1}
	return Range{Filename: name, Start: start, End: start}
}

// file decodes all files together and checks what no single block shows.
func (d *decoder) file(f *File, bodies []*hclsyntax.Body, header Range) {
	f.Place = d.bodies(bodies, header, schema{
		fields: []field{
			must("hostname", value(hostname(&f.Hostname))),
			may("state_dir", value(path(&f.StateDir))),
			may("mechanisms", value(list(&f.Mechanisms, mechanism))),
			may("sweep_interval", value(duration(&f.SweepInterval, time.Minute, 7*24*time.Hour, ""))),
		},
		blocks: []block{
			{name: "listener", labels: []string{"name"}, read: f.readListener},
			{name: "tls", single: true, read: f.readTLS},
			{name: "kerberos", single: true, read: f.readKerberos},
			{name: "authenticator", labels: []string{"kind", "name"}, read: f.readAuthenticator},
			{name: "account", read: f.readAccount},
			{name: "retention", read: f.readRetention},
			{name: "maildrop", labels: []string{"kind"}, single: true, required: true, read: f.readMaildrop},
			{name: "throttle", single: true, read: f.readThrottle},
			{name: "limits", single: true, read: f.readLimits},
			{name: "locks", single: true, read: f.readLocks},
			{name: "log", single: true, read: f.readLog},
			{name: "audit", single: true, read: f.readAudit},
		},
	})
	d.impliedAccounts(f, header)
	implied := !d.said("listener", bodies)
	if implied {
		f.Listeners = defaultListeners(header, f.Kerberos != nil)
	}
	if !d.partial {
		d.checkFile(f, implied)
	}
}

// hostname takes a DNS host name (RFC 1123 §2.1), because it becomes part of
// the APOP timestamp, which must be an RFC 822 msg-id (RFC 1939 §7).
func hostname(dst *string) setter {
	return text(func(v val, s string) *complaint {
		if !isHostname(s) {
			return complain(`It must be a host name such as "pop.example.com".`)
		}
		*dst = s
		return nil
	})
}

func isHostname(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		inner := strings.Trim(label, "-")
		if label == "" || len(label) > 63 || inner != label {
			return false
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return len(s) <= 253
}

// The mechanisms that may be named. APOP is a command, not SASL, but switched
// on in the same place.
var mechanisms = []string{
	"GSSAPI", "GSS-SPNEGO", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1",
	"CRAM-MD5", "OAUTHBEARER", "XOAUTH2", "EXTERNAL", "PLAIN", "LOGIN", "APOP",
}

func mechanism(dst *string) setter { return oneOf(dst, mechanisms...) }
