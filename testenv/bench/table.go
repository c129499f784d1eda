package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// keep remembers the results of a row and writes them, if they are to be kept, into
// a file of the row's, in place of what was measured another time.
func (o *options) keep(t *stage, r row, all []result) {
	if o.results == nil {
		o.results = map[string][]result{}
	}
	o.results[r.name] = append(o.results[r.name], all...)
	if o.out == "" {
		return
	}
	var lines bytes.Buffer
	for _, one := range o.results[r.name] {
		lines.Write(append(one.line, '\n'))
	}
	t.must(os.MkdirAll(o.out, 0o755))
	t.must(os.WriteFile(o.file(r), lines.Bytes(), 0o644))
}

// file is where a row is kept.
func (o *options) file(r row) string {
	return filepath.Join(o.out, strings.ReplaceAll(r.name, "/", "-")+".jsonl")
}

// load reads what was kept of rows; those of which nothing was have no results.
func (o *options) load(rows []row) error {
	o.results = map[string][]result{}
	for _, r := range rows {
		text, err := os.ReadFile(o.file(r))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for line := range bytes.Lines(text) {
			var one result
			if err := json.Unmarshal(line, &one); err != nil {
				return fmt.Errorf("%s: %w", o.file(r), err)
			}
			o.results[r.name] = append(o.results[r.name], one)
		}
	}
	return nil
}

// print writes the tables: of the rows that have nothing but kpopd, Dovecot and the
// limit server, and of the others, a line for each run.
func (o *options) print(w io.Writer, rows []row) error {
	var short, long bytes.Buffer
	for _, r := range rows {
		switch m := newMeasured(r, o.results[r.name]); {
		case len(o.results[r.name]) == 0:
		case r.plain():
			short.WriteString(m.line())
		default:
			long.WriteString(m.lines())
		}
	}
	if short.Len() > 0 {
		short.WriteTo(writeHead(w, "workload", "kpopd", "Dovecot", "limit", "kpopd / Dovecot", "kpopd / limit",
			"server CPU: kpopd", "Dovecot", "limit", "kpopd / Dovecot"))
		fmt.Fprintln(w)
	}
	if long.Len() > 0 {
		long.WriteTo(writeHead(w, "workload", "server", "median", "ratio", "server CPU", "ratio"))
		fmt.Fprintln(w)
	}
	return nil
}

func writeHead(w io.Writer, columns ...string) io.Writer {
	fmt.Fprintf(w, "| %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("--:|", len(columns)-1))
	return w
}

// plain says whether a row has a line of the short table.
func (r row) plain() bool {
	return !slices.ContainsFunc(r.runs, func(one run) bool { return !slices.Contains([]string{"kpopd", "Dovecot", "limit"}, one.label) })
}

// measured is the results of a row by run, round for round.
type measured struct {
	row
	values, cpu map[string][]float64
	limited     map[string]int // rounds in which popbench was the bottleneck
}

func newMeasured(r row, all []result) measured {
	m := measured{r, map[string][]float64{}, map[string][]float64{}, map[string]int{}}
	for _, one := range all {
		m.values[one.Run] = append(m.values[one.Run], r.value.of(one))
		m.cpu[one.Run] = append(m.cpu[one.Run], one.Server.CPU)
		if one.Bottleneck != "" {
			m.limited[one.Run]++
		}
	}
	return m
}

// line is the row in the short table.
func (m measured) line() string {
	cells := []string{m.what}
	for _, label := range []string{"kpopd", "Dovecot", "limit"} {
		cells = append(cells, m.median(label))
	}
	cells = append(cells, ratio(m.values["kpopd"], m.values["Dovecot"]), ratio(m.values["kpopd"], m.values["limit"]))
	for _, label := range []string{"kpopd", "Dovecot", "limit"} {
		cells = append(cells, milliseconds(m.cpu[label]))
	}
	cells = append(cells, ratio(m.cpu["kpopd"], m.cpu["Dovecot"]))
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// lines are the row in the long table.
func (m measured) lines() (text string) {
	for _, r := range m.runs {
		rates, cpu := ratio(m.values[r.label], m.values[r.against]), ratio(m.cpu[r.label], m.cpu[r.against])
		if rates != none {
			rates += " of " + r.against
		}
		text += fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", m.what, r.label, m.median(r.label), rates, milliseconds(m.cpu[r.label]), cpu)
	}
	return text
}

// none stands for what was not measured, and limitedMark behind a figure that
// popbench limits: the server could do more, had the client more CPU.
const none, limitedMark = "–", "†"

func (m measured) median(label string) string {
	if len(m.values[label]) == 0 {
		return none
	}
	text := figure(median(m.values[label])) + m.value.unit
	if 2*m.limited[label] > len(m.values[label]) && m.value.unit != kibibytes.unit {
		text += limitedMark
	}
	return text
}

// milliseconds is a median, in microseconds where it is short.
func milliseconds(all []float64) string {
	switch ms := median(all); {
	case len(all) == 0 || ms == 0:
		return none
	case ms < 0.1:
		return figure(ms*1000) + " µs"
	default:
		return figure(ms) + " ms"
	}
}

// ratio is the median of the ratios within the rounds, with the least and the
// greatest of them.
func ratio(of, by []float64) string {
	var all []float64
	for i := range min(len(of), len(by)) {
		if by[i] > 0 && of[i] > 0 {
			all = append(all, of[i]/by[i])
		}
	}
	switch {
	case len(all) == 0:
		return none
	case len(all) == 1:
		return "**" + figure(all[0]) + "**"
	}
	return fmt.Sprintf("**%s** (%s..%s)", figure(median(all)), figure(slices.Min(all)), figure(slices.Max(all)))
}

// median is the middle one, or the mean of the two in the middle; of nothing it is
// not a number.
func median(all []float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(all))
	k := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[k]
	}
	return (sorted[k-1] + sorted[k]) / 2
}

// figure writes a number with three digits that count.
func figure(x float64) string {
	switch abs := math.Abs(x); {
	case abs >= 1000:
		return thousands(int(math.Round(x/10)) * 10)
	case abs >= 100:
		return fmt.Sprintf("%.0f", x)
	case abs >= 10:
		return fmt.Sprintf("%.1f", x)
	case abs >= 0.1:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}
