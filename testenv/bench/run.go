package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// A row is a workload that servers have in turns.
type row struct {
	name    string // for -only
	what    string // for the table
	setting *setting
	// A value says what the row is about, of what popbench measured.
	value value
	runs  []run
	// once: a run finds its servers just started, with mail that they never saw.
	once bool
	// checked is the manifest of the messages that are retrieved; "": there is none.
	checked string
	// messages is how many are compared with it: all that the users have.
	messages int
	// fresh is how many accounts a run uses up, which are taken from user0000 on
	// for the first run, behind them for the next; 0: none.
	fresh int
	curve curve // where it is drawn; zero: nowhere
	x     int   // its place there
	// held is how many idle sessions each server has meanwhile, of the users from
	// heldFrom on.
	held, heldFrom int
	// renewed: the accounts of the last run are those of the next, under new names.
	renewed bool
}

// A run is what one server has to do.
type run struct {
	label   string // of the column: kpopd, Dovecot, limit, or what is special
	server  string // of the setting
	port    string // pop3, pop3s or kpop
	args    []string
	against string // the label that it is compared with in the long table; "": none
}

// A result is what popbench says of a run; see its own documentation.
type result struct {
	Run   string  `json:"label"`
	Rate  float64 `json:"rate"`
	Bytes float64 `json:"octets_per_second"`
	// Suite is what TLS encrypted with; Bottleneck is that popbench itself was, or "".
	Suite      string `json:"suite"`
	Bottleneck string `json:"bottleneck"`
	// Verified are operations whose text was compared with a manifest.
	Verified int `json:"verified"`
	Server   struct {
		CPU    float64 `json:"cpu_ms_per_operation"`
		Memory float64 `json:"pss_kib_per_session"`
	} `json:"server"`

	line []byte // all of it
}

// A value says what of a result a row is about.
type value struct {
	unit string
	of   func(result) float64
	less bool // is better
}

var (
	perSecond = value{unit: "/s", of: func(r result) float64 { return r.Rate }}
	megabytes = value{unit: " MB/s", of: func(r result) float64 { return r.Bytes / 1e6 }}
	kibibytes = value{unit: " KiB", of: func(r result) float64 { return r.Server.Memory }, less: true}
)

// A pace is how long the bench takes for everything.
type pace struct {
	rounds  int
	seconds time.Duration // a run
	warmup  time.Duration
	quick   bool // as little as shows that it works
}

// measure measures rows. Those next to each other that are of one setting have the
// same servers.
func (o *options) measure(t *stage, rows []row) {
	for len(rows) > 0 {
		r, n := rows[0], 1
		if r.once {
			for round := range o.rounds {
				o.at(t, r.setting, func(s *site) { o.keep(t, r, s.measure(r, round, round+1)) })
			}
			rows = rows[1:]
			continue
		}
		for n < len(rows) && rows[n].setting == r.setting && !rows[n].once {
			n++
		}
		o.at(t, r.setting, func(s *site) {
			for _, r := range rows[:n] {
				o.keep(t, r, s.measure(r, 0, o.rounds))
			}
		})
		rows = rows[n:]
	}
}

// at sets a setting up for as long as f takes.
func (o *options) at(t *stage, of *setting, f func(*site)) {
	t.must(play(t.ctx, func(t *stage) { f(open(t, o.pace, o.tools, of)) }))
}

// measure has all runs of a row done in turns, and returns the results of the
// rounds from one to before another.
func (s *site) measure(r row, from, to int) (all []result) {
	for n := from; n < to; n++ {
		if r.renewed && n > 0 {
			s.renew((n-1)*r.fresh, n*r.fresh, r.fresh)
		}
		suite := ""
		for i := range r.runs {
			one := r.runs[(i+n)%len(r.runs)] // nobody is always behind the same
			args := slices.Concat(one.args, s.flags(r))
			if r.fresh > 0 && !slices.Contains(args, "-first-user") {
				args = append(args, "-first-user", fmt.Sprint(n*r.fresh))
			} else if r.fresh == 0 && n == 0 && !r.once {
				s.prepare(r, one)
			}
			release := s.hold(r.held, r.heldFrom, s.instances[one.server].addrs[one.port])
			got := s.popbench(one, append(args, "-label", one.label, "-x", fmt.Sprint(r.x)))
			release()
			if suite = cmp.Or(suite, got.Suite); got.Suite != suite {
				s.Fatalf("%s: TLS is %s, and %s to %s", r.name, suite, got.Suite, one.server)
			}
			all = append(all, got)
			progress("%s: %d/%d %s: %.4g%s", r.name, n+1, s.rounds, one.label, r.value.of(got), r.value.unit)
		}
	}
	return all
}

// prepare has a server see its mail, so that all rounds are alike; with a manifest,
// what it sends is compared with what it has.
func (s *site) prepare(r row, one run) {
	args := slices.Concat(one.args, []string{"-warmup", "1ms", "-count", fmt.Sprint(max(min(max(s.users, 40), 100), r.messages))})
	if r.checked != "" {
		args = append(args, "-manifest", r.checked)
	}
	if got := s.popbench(one, args); r.checked != "" && got.Verified == 0 {
		s.Fatalf("%s: no message of %s was verified", r.name, one.label)
	}
}

// flags say how long a run takes.
func (p pace) flags(r row) []string {
	if r.fresh > 0 || r.once {
		return nil // as many operations as there are accounts or sessions
	}
	return []string{"-duration", p.seconds.String(), "-warmup", p.warmup.String()}
}

// popbench runs it for a server.
func (s *site) popbench(one run, args []string) result {
	i := s.instances[one.server]
	if len(i.crew) > 0 {
		return s.crowd(one, i, args)
	}
	got, err := s.call(one, i, args)
	s.must(err)
	return got
}

// call runs it for a process of a server.
func (s *site) call(one run, i *instance, args []string) (got result, err error) {
	args = append(s.filled(args), "-json", "-q", "-pid", fmt.Sprint(i.pid), "-insecure", i.addrs[one.port])
	cmd := exec.CommandContext(s.Context(), s.tools.popbench, args...)
	cmd.Env = s.env()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if err != nil || json.Unmarshal(stdout.Bytes(), &got) != nil {
		return got, fmt.Errorf("popbench %s, to %s: %v\n%s%s%s", strings.Join(args, " "), one.server, err, &stderr, &stdout, i.said())
	}
	got.line = bytes.TrimSpace(stdout.Bytes())
	return got, nil
}

// siteDir stands in a command line for the directory of the site, which is not known
// before it is set up.
const siteDir = "$SITE"

func (s *site) filled(args []string) (all []string) {
	for _, arg := range args {
		all = append(all, strings.Replace(arg, siteDir, s.dir, 1))
	}
	return all
}

func (s *site) env() []string {
	if s.world != nil {
		return s.world.Env("")
	}
	return os.Environ()
}

// progress tells somebody who waits.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
