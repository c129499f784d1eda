package load

import (
	"cmp"
	"runtime"
	"time"
)

// A Result is what came of a run, as a line of JSON. What is not known is left
// out.
type Result struct {
	Workload  string   `json:"workload"`
	Label     string   `json:"label,omitempty"`
	X         *float64 `json:"x,omitempty"`
	Target    string   `json:"target"`
	TLS       string   `json:"tls"`
	Mechanism string   `json:"mechanism"`
	Clients   int      `json:"clients"`
	Pipeline  int      `json:"pipeline"`

	Seconds         float64 `json:"seconds"`
	Operations      int64   `json:"operations"`
	Rate            float64 `json:"rate"` // operations a second
	Octets          int64   `json:"octets"`
	OctetsPerSecond float64 `json:"octets_per_second"`
	Errors          int64   `json:"errors"`
	Error           string  `json:"error,omitempty"` // the first one
	Verified        int64   `json:"verified"`        // operations whose content was compared with what it should be
	Handshakes      int64   `json:"handshakes,omitempty"`
	Resumed         int64   `json:"resumed,omitempty"` // of the handshakes
	Suite           string  `json:"suite,omitempty"`   // of ciphers, as the IANA calls the last one

	RateAlone float64 `json:"rate_alone,omitempty"` // without those who abuse the server
	Kept      float64 `json:"kept,omitempty"`       // rate by rate_alone
	Abuse     *Abuse  `json:"abuse,omitempty"`

	Latency    *Latency `json:"latency_ms,omitempty"`
	Server     *Server  `json:"server,omitempty"`
	Client     Client   `json:"client"`
	Bottleneck string   `json:"bottleneck"` // "generator", or ""
}

// Latency is how long operations took, in milliseconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Server is what the server's processes used.
type Server struct {
	Processes int     `json:"processes"`
	CPU       float64 `json:"cpu_ms_per_operation"`
	User      float64 `json:"user_ms_per_operation,omitempty"`
	System    float64 `json:"system_ms_per_operation,omitempty"`
	Switches  float64 `json:"switches_per_operation"`
	PSS       int64   `json:"pss_kib"`
	PSSBefore int64   `json:"pss_kib_before"`
	// PSSPerSession is what idle sessions have each, with what the kernel does
	// not keep for them.
	PSSPerSession float64 `json:"pss_kib_per_session,omitempty"`
	RSS           int64   `json:"rss_kib"`
}

// Client is what the generator itself used.
type Client struct {
	CPU   float64  `json:"cpu_ms_per_operation"`
	Share *float64 `json:"cpu_share,omitempty"` // of its CPU time and the server's
	// Busy is which part of the time in which its clients could have run they
	// ran.
	Busy float64 `json:"busy"`
}

// result returns what came of a measurement, if anything did.
func (r *run) result(m measurement) (*Result, error) {
	o := r.o
	if r.first != nil && r.operations() == 0 {
		return nil, r.first
	}
	res := &Result{
		Workload: o.Workload, Target: o.Target.String(), TLS: o.TLS, Mechanism: o.Mechanism,
		Clients: o.Clients, Pipeline: r.depth(), Seconds: m.elapsed.Seconds(), Errors: r.failures(),
	}
	if r.first != nil {
		res.Error = r.first.Error()
	}
	var latency histogram
	for _, c := range r.clients {
		res.Operations += c.operations.Load()
		res.Octets += c.total.octets
		res.Verified += c.total.verified
		res.Handshakes += c.handshakes
		res.Resumed += c.resumed
		res.Suite = cmp.Or(c.suite, res.Suite)
		latency.merge(&c.latency)
	}
	res.Rate = float64(res.Operations) / res.Seconds
	res.OctetsPerSecond = float64(res.Octets) / res.Seconds
	res.Latency = latency.summary()
	res.use(m, o.Server != nil)
	return res, nil
}

// summary is nil of no durations.
func (h *histogram) summary() *Latency {
	if h.n == 0 {
		return nil
	}
	q := func(q float64) float64 { return ms(h.quantile(q), 1) }
	return &Latency{P50: q(0.5), P90: q(0.9), P99: q(0.99), Max: ms(h.most, 1)}
}

// ms returns the milliseconds of each of n.
func ms(d time.Duration, n int64) float64 {
	return float64(d) / float64(time.Millisecond) / float64(max(1, n))
}

// minTicks is what it takes to tell user time from that of the system: they
// are known in ticks of 10 ms.
const minTicks = 100 * time.Millisecond

// use fills in what both sides used.
func (res *Result) use(m measurement, known bool) {
	n := res.Operations
	possible := m.elapsed.Seconds() * float64(min(runtime.NumCPU(), res.Clients))
	res.Client = Client{CPU: ms(m.own.CPU, n), Busy: m.own.CPU.Seconds() / possible}
	if res.Client.Busy > 0.5 {
		res.Bottleneck = "generator"
	}
	if !known {
		return
	}
	s := m.server
	if total := s.CPU + m.own.CPU; total > 0 {
		share := float64(m.own.CPU) / float64(total)
		res.Client.Share = &share
	}
	res.Server = &Server{
		Processes: s.Processes, CPU: ms(s.CPU, n), Switches: float64(s.Switches) / float64(max(1, n)),
		PSS: m.after.PSS, PSSBefore: m.before.PSS, RSS: m.after.RSS,
	}
	if ticks := s.User + s.System; ticks >= minTicks {
		res.Server.User = res.Server.CPU * float64(s.User) / float64(ticks)
		res.Server.System = res.Server.CPU - res.Server.User
	}
}
