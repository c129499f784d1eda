package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kpopd/cmd/popbench/load"
)

func TestPlot(t *testing.T) {
	dir := t.TempDir()
	runs, svg := filepath.Join(dir, "runs.jsonl"), filepath.Join(dir, "out.svg")
	text := `{"label":"a","x":10,"rate":1,"latency_ms":{"p99":5}}
{"label":"a","x":10,"rate":3,"latency_ms":{"p99":6}}
{"label":"a","x":20,"rate":4,"latency_ms":{"p99":7}}
{"label":"a","rate":4}
{"label":"b","x":10,"rate":9,"latency_ms":{"p99":8}}
`
	if err := os.WriteFile(runs, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		status int
		want   string // in what it writes, or says
	}{
		{"-title words -log-x " + runs, exitOK, ">words<"},
		{"-y latency_ms.p99 " + runs, exitOK, ">latency_ms.p99<"},
		{"-y latency_ms.p50 " + runs, exitFailed, "run 1: a run has no number called latency_ms.p50"},
		{"-o " + svg + " " + runs, exitOK, ""},
		{"", exitUsage, "FILE.jsonl is needed"},
		{filepath.Join(dir, "missing"), exitFailed, "no such file"},
		{svg, exitFailed, "run 1:"},
		{"/dev/null", exitFailed, "nothing to plot"},
	} {
		var out, errs bytes.Buffer
		status := run(append([]string{"popbench", "plot"}, strings.Fields(c.args)...), &out, &errs)
		if status != c.status || !strings.Contains(out.String()+errs.String(), c.want) {
			t.Errorf("plot %s: status %d\n%s%s", c.args, status, out.String(), errs.String())
		}
	}
	drawn, err := os.ReadFile(svg)
	if n := strings.Count(string(drawn), "<circle"); err != nil || n != 3 {
		t.Errorf("%d points, %v", n, err)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		all  []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 9, 2}, 3}} {
		if got := median(c.all); got != c.want {
			t.Errorf("%v: %g", c.all, got)
		}
	}
}

func TestBar(t *testing.T) {
	for _, p := range []load.Progress{{}, {Operations: 123456789, Errors: 3, Rate: 123456, Done: 0.5}, {Done: 1}, {Done: 2}} {
		if b := bar(p); len(b) > 90 || strings.Count(b, "#")+strings.Count(b, ".") < 24 {
			t.Errorf("%+v: %q", p, b)
		}
	}
	// Nothing is shown where nobody sees it.
	if show, wipe := progressBar(&bytes.Buffer{}, false); show != nil {
		t.Error("a bar for a file")
	} else {
		wipe()
	}
}
