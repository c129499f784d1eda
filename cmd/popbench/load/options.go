package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kpopd/cmd/popbench/procfs"
)

// The ways to a server, for [Options.TLS].
const (
	None     = "none"     // in the clear
	STLS     = "stls"     // STLS in the session (RFC 2595 §4)
	Implicit = "implicit" // TLS from the first octet (RFC 8314)
	Resumed  = "resumed"  // Implicit, where each client resumes its last session
)

// Options are what a run does. Their zero values say what is left out.
type Options struct {
	Workload string         // one of [Workloads]
	Target   netip.AddrPort // the server
	TLS      string         // "": None
	// Config says whom to trust; nil: the system's authorities. Its ServerName
	// is that of the server in its certificate, and of its Kerberos service.
	Config *tls.Config

	Clients  int           // at the same time; 0: one
	Duration time.Duration // of what is counted; 0: five seconds. Count and drain have no duration
	Count    int64         // operations; 0: as many as the duration allows
	Warmup   time.Duration // before that, not counted
	Timeout  time.Duration // of each wait for the server; 0: one minute
	Sources  int           // addresses 127.0.0.1, 127.0.0.2 … to come from; 0: what the system chooses

	Users     Users
	Password  string
	Mechanism string // user, plain or apop; "": user
	Pipeline  int    // commands in flight, where the server allows it; 0: one
	Manifest  *Manifest

	Tickets Tickets // for gssapi and kpop

	Sessions            int           // idle: how many to hold; 0: as many as users
	Slow, Silent, Churn int           // abuse: how many of each
	Pace                time.Duration // abuse: between two connections of one that churns; 0: one second

	Server   *procfs.Tree // the server's processes; nil: not known
	Progress func(Progress)
}

// Progress is how far a run has come.
type Progress struct {
	Operations, Errors int64
	Rate               float64 // operations a second, of late
	Done               float64 // 0 to 1
}

// Users are the names that are logged in with.
type Users struct {
	Pattern string // with a verb for a number, as in user%04d, or one name
	First   int    // number
	N       int    // how many; 0: one
}

// Name returns the name of the user i, counted from 0.
func (u Users) Name(i int) string {
	if !strings.Contains(u.Pattern, "%") {
		return u.Pattern
	}
	return fmt.Sprintf(u.Pattern, u.First+i)
}

// ErrOptions is that [Options] make no sense.
var ErrOptions = errors.New("impossible")

// check fills in what was left out, and says what makes no sense.
func (o *Options) check() error {
	for _, n := range []*int{&o.Clients, &o.Pipeline, &o.Users.N} {
		*n = max(1, *n)
	}
	if o.Duration == 0 {
		o.Duration = 5 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.TLS == "" {
		o.TLS = None
	}
	if o.Mechanism == "" {
		o.Mechanism = "user"
	}
	w, ok := workloads[o.Workload]
	if w.mechanism != "" {
		o.Mechanism = w.mechanism
	}
	switch {
	case !ok:
		return fmt.Errorf("%w: there is no workload %q", ErrOptions, o.Workload)
	case w.mechanism != "" && len(o.Tickets.Caches) == 0:
		return fmt.Errorf("%w: %s needs tickets", ErrOptions, o.Workload)
	case !slices.Contains([]string{None, STLS, Implicit, Resumed}, o.TLS):
		return fmt.Errorf("%w: there is no way of TLS %q", ErrOptions, o.TLS)
	case mechanisms[o.Mechanism] == nil:
		return fmt.Errorf("%w: there is no mechanism %q", ErrOptions, o.Mechanism)
	case strings.ContainsAny(o.Password+o.Users.Name(0), "\r\n\x00"):
		return fmt.Errorf("%w: a user name or password with a line end", ErrOptions)
	case o.Pipeline > maxPipeline:
		return fmt.Errorf("%w: more than %d commands in flight", ErrOptions, maxPipeline)
	case w.once && o.Users.N < o.Clients:
		o.Clients = o.Users.N
	}
	return nil
}

// maxPipeline bounds what is in flight: beyond that the server could not write,
// and so not read, while it is written to.
const maxPipeline = 1000
