package load

import (
	"cmp"
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
	Hold                time.Duration // idle: how long, before memory is read
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

// fill fills in what was left out.
func (o *Options) fill() {
	for _, n := range []*int{&o.Clients, &o.Pipeline, &o.Users.N} {
		*n = max(1, *n)
	}
	o.Duration = cmp.Or(o.Duration, 5*time.Second)
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	o.Pace = cmp.Or(o.Pace, time.Second)
	o.TLS = cmp.Or(o.TLS, None)
	o.Mechanism = cmp.Or(workloads[o.Workload].mechanism, o.Mechanism, "user")
	if workloads[o.Workload].once {
		o.Clients = min(o.Clients, o.Users.N)
	}
}

// least is the least of all numbers.
func (o *Options) least() int64 {
	return min(o.Count, int64(min(o.Duration, o.Warmup, o.Timeout, o.Pace, o.Hold)),
		int64(min(o.Sources, o.Users.First, o.Sessions, o.Slow, o.Silent, o.Churn)))
}

// check says what makes no sense, of options that are filled in.
func (o *Options) check() error {
	w, ok := workloads[o.Workload]
	switch {
	case !ok:
		return fmt.Errorf("%w: there is no workload %q", ErrOptions, o.Workload)
	case w.mechanism != "" && len(o.Tickets.Caches) == 0:
		return fmt.Errorf("%w: %s needs tickets", ErrOptions, o.Workload)
	case !slices.Contains([]string{None, STLS, Implicit, Resumed}, o.TLS):
		return fmt.Errorf("%w: there is no way of TLS %q", ErrOptions, o.TLS)
	case mechanisms[o.Mechanism] == nil:
		return fmt.Errorf("%w: there is no mechanism %q", ErrOptions, o.Mechanism)
	case o.least() < 0:
		return fmt.Errorf("%w: a number below 0", ErrOptions)
	case strings.Contains(o.Users.Name(0), "%!"):
		return fmt.Errorf("%w: users like %q, which are not numbered as in user%%04d", ErrOptions, o.Users.Pattern)
	case strings.ContainsAny(o.Password+o.Users.Name(0), "\r\n\x00"):
		return fmt.Errorf("%w: a user name or password with a line end", ErrOptions)
	case o.Pipeline > maxPipeline:
		return fmt.Errorf("%w: more than %d commands in flight", ErrOptions, maxPipeline)
	}
	return nil
}

// maxPipeline bounds what is in flight: beyond that the server could not write,
// and so not read, while it is written to.
const maxPipeline = 1000
