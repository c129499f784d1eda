// Command bench measures kpopd beside Debian's Dovecot and beside a server that
// answers from memory (testenv/bench/limit), on this machine, with the same mail:
//
//	go run ./testenv/bench                                      # everything, an hour
//	go run ./testenv/bench -list
//	go run ./testenv/bench -only 'login/plain' -rounds 3        # one row
//	go run ./testenv/bench -only check -before /tmp/kpopd.old   # and another build of kpopd
//	go run ./testenv/bench -scale -out DIR                      # curves: sessions, messages, maildrops
//	go run ./testenv/bench -quick                               # whether it works; errors fail
//
// Each row is a workload of cmd/popbench that the servers have in turns, round for
// round, while the others are idle. It prints a table of medians and of ratios,
// kpopd's by the other's, each of which is the median of the ratios within the
// rounds, with the least and the greatest. Server CPU is that of all processes of a
// server for one operation. With -out DIR, what popbench said of each run is kept, a
// line of JSON each and a file a row; -table prints the table of such a directory.
//
// Client and server share the cores of the machine: ratios say more than rates.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	pace
	only   *regexp.Regexp
	out    string
	list   bool
	table  bool
	scale  bool
	before string
	tools  tools

	results map[string][]result // by row
}

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	only := f.String("only", "", "the rows whose names match a `REGEXP`")
	f.IntVar(&o.rounds, "rounds", 5, "how often each server has its turn")
	seconds := f.Float64("seconds", 3, "how long a run takes, in seconds")
	f.BoolVar(&o.quick, "quick", false, "one short round with little mail: shows that everything works")
	f.StringVar(&o.out, "out", "", "keep what popbench said in a `DIRECTORY`")
	f.BoolVar(&o.list, "list", false, "print the names of the rows")
	f.BoolVar(&o.table, "table", false, "measure nothing; print the table of what -out has kept")
	f.BoolVar(&o.scale, "scale", false, "measure how it scales instead, and draw curves into the directory of -out")
	f.StringVar(&o.before, "before", "", "measure another kpopd too, a `FILE`")
	f.StringVar(&o.tools.kpopd, "kpopd", "", "the program, a `FILE`; absent: it is built")
	f.StringVar(&o.tools.popbench, "popbench", "", "likewise")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.warmup = 300 * time.Millisecond
	o.seconds = time.Duration(*seconds * float64(time.Second))
	if o.quick {
		o.rounds, o.seconds, o.warmup = 1, 100*time.Millisecond, 20*time.Millisecond
	}
	if o.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(stderr, "bench: -only:", err)
	}
	return o, err
}

func (o *options) run(ctx context.Context, stdout io.Writer) error {
	rows := o.chosen()
	switch {
	case len(rows) == 0:
		return errors.New("no row has such a name; see -list")
	case o.list:
		for _, r := range rows {
			fmt.Fprintf(stdout, "%-24s %s\n", r.name, r.what)
		}
		return nil
	case o.table:
		return errors.Join(o.load(rows), o.print(stdout, rows))
	}
	return play(ctx, func(t *stage) {
		o.tools = build(t, o.tools)
		o.measure(t, rows)
		if o.scale && o.out != "" {
			o.plot(t, rows)
		}
		t.must(o.print(stdout, rows))
	})
}

// chosen are the rows that are wanted.
func (o *options) chosen() (all []row) {
	settings := map[*setting]*setting{}
	rows := o.rows()
	if o.scale {
		rows = o.scales()
	}
	for _, r := range rows {
		if !o.only.MatchString(r.name) {
			continue
		}
		if o.before != "" {
			r = r.besides(o.before, settings)
		}
		all = append(all, r)
	}
	return all
}

// besides adds another build of kpopd to a row, and to its setting, of which there
// is one for each that there was.
func (r row) besides(program string, settings map[*setting]*setting) row {
	const name = "before"
	if settings[r.setting] == nil {
		with := *r.setting
		other := with.servers[0]
		other.name, other.program = name, program
		with.servers = slices.Insert(slices.Clone(with.servers), 1, other)
		settings[r.setting] = &with
	}
	r.setting = settings[r.setting]
	other := r.runs[0]
	other.label, other.server = name, name
	r.runs = slices.Insert(slices.Clone(r.runs), 1, other)
	r.runs[0].against = name
	return r
}
