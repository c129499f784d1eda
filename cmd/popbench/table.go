package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"kpopd/cmd/popbench/load"
)

// table writes a result for people.
func table(w io.Writer, r *load.Result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	row := func(name, format string, a ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, a...)) }
	row(r.Workload, "%s, TLS %s, %d clients, %d in flight", r.Target, r.TLS, r.Clients, r.Pipeline)
	row("operations", "%d in %.2f s, %d errors, %d verified", r.Operations, r.Seconds, r.Errors, r.Verified)
	row("rate", "%.1f /s", r.Rate)
	if a := r.Abuse; a != nil {
		row("alone", "%.1f /s, of which %.1f %% is kept", r.RateAlone, 100*r.Kept)
		row("abuse", "%d slow, %d silent, %d churning: %d connections, %d ended by the server, %d refused", a.Slow, a.Silent, a.Churn, a.Connections, a.Ended, a.Refused)
	}
	if r.Octets > 0 {
		row("content", "%.1f MB, %.1f MB/s", float64(r.Octets)/1e6, r.OctetsPerSecond/1e6)
	}
	if r.Handshakes > 0 {
		row("handshakes", "%d, %d of them resumed, %s", r.Handshakes, r.Resumed, r.Suite)
	}
	if l := r.Latency; l != nil {
		row("latency", "50%% %.3f ms, 90%% %.3f ms, 99%% %.3f ms, max %.3f ms", l.P50, l.P90, l.P99, l.Max)
	}
	if s := r.Server; s != nil {
		row("server", "%.4f ms CPU an operation (%.4f user, %.4f system), %.1f context switches", s.CPU, s.User, s.System, s.Switches)
		if s.PSSPerSession > 0 {
			row("session", "PSS %.2f KiB", s.PSSPerSession)
		}
		row("memory", "%d processes, PSS %.1f MiB (%.1f before), RSS %.1f MiB", s.Processes, mib(s.PSS), mib(s.PSSBefore), mib(s.RSS))
	}
	row("generator", "%.4f ms CPU an operation, busy %.0f %% of the time", r.Client.CPU, 100*r.Client.Busy)
	if r.Bottleneck != "" {
		row("", "THE GENERATOR LIMITS THIS RESULT: give it more CPU, or the server less")
	}
}

func mib(kib int64) float64 { return float64(kib) / 1024 }
