package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}, {[]float64{7}, 7}} {
		if got := median(c.of); got != c.want {
			t.Errorf("median(%v) = %v", c.of, got)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("nothing has a median")
	}
}

func TestFigure(t *testing.T) {
	for x, want := range map[float64]string{0.0123: "0.012", 0.5: "0.50", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1,230", 1_234_567: "1,234,570"} {
		if got := figure(x); got != want {
			t.Errorf("figure(%v) = %s, not %s", x, got, want)
		}
	}
}

// TestRatio: it is the median of the rounds' ratios, not the ratio of the medians.
func TestRatio(t *testing.T) {
	for _, c := range []struct {
		of, by []float64
		want   string
	}{
		{[]float64{10, 40, 30}, []float64{1, 2, 10}, "**10.0** (3.00..20.0)"},
		{[]float64{10}, []float64{5}, "**2.00**"},
		{[]float64{10, 20}, []float64{0, 10}, "**2.00**"},
		{nil, []float64{1}, "–"},
	} {
		if got := ratio(c.of, c.by); got != c.want {
			t.Errorf("ratio(%v, %v) = %s, not %s", c.of, c.by, got, c.want)
		}
	}
}

// testRows are a plain row and one of another kind.
var testRows = []row{
	{name: "a/plain", what: "plain work", value: perSecond, runs: beside("pop3")},
	{name: "b", what: "special work", value: kibibytes, runs: []run{
		{label: "kpopd, busy"}, {label: "kpopd, alone", against: "kpopd, busy"}, {label: "Dovecot", against: "limit"}}},
	{name: "c", what: "work that was not done", value: perSecond},
}

// TestTable prints what was kept, and only of rows that were measured.
func TestTable(t *testing.T) {
	o := options{out: t.TempDir()}
	for name, lines := range map[string]string{
		"a-plain.jsonl": `{"label":"kpopd","x":1,"rate":4000,"server":{"cpu_ms_per_operation":0.25}}
{"label":"Dovecot","x":1,"rate":1000,"server":{"cpu_ms_per_operation":1}}
{"label":"limit","x":1,"rate":8000,"bottleneck":"generator","server":{"cpu_ms_per_operation":0.05}}
{"label":"kpopd","x":2,"rate":6000,"bottleneck":"generator","server":{"cpu_ms_per_operation":0.25}}
{"label":"Dovecot","x":2,"rate":1000,"server":{"cpu_ms_per_operation":1}}
{"label":"limit","x":2,"rate":8000,"bottleneck":"generator","server":{"cpu_ms_per_operation":0.05}}
`,
		"b.jsonl": `{"label":"kpopd, busy","server":{"pss_kib_per_session":10}}
{"label":"kpopd, alone","server":{"pss_kib_per_session":5}}
{"label":"Dovecot","server":{"pss_kib_per_session":100}}
`,
	} {
		if err := os.WriteFile(filepath.Join(o.out, name), []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := errors.Join(o.load(testRows), o.print(&out, testRows)); err != nil {
		t.Fatal(err)
	}
	const want = `| workload | kpopd | Dovecot | limit | kpopd / Dovecot | kpopd / limit | server CPU: kpopd | Dovecot | limit | kpopd / Dovecot |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
| plain work | 5,000/s | 1,000/s | 8,000/s† | **5.00** (4.00..6.00) | **0.62** (0.50..0.75) | 0.25 ms | 1.00 ms | 50.0 µs | **0.25** (0.25..0.25) |

| workload | server | median | ratio | server CPU | ratio |
|---|--:|--:|--:|--:|--:|
| special work | kpopd, busy | 10.0 KiB | – | – | – |
| special work | kpopd, alone | 5.00 KiB | **0.50** of kpopd, busy | – | – |
| special work | Dovecot | 100 KiB | – | – | – |

`
	if out.String() != want {
		t.Errorf("got\n%s", &out)
	}
}

// TestBefore: another build is a server of its own, in settings that stay shared.
func TestBefore(t *testing.T) {
	o := options{only: regexp.MustCompile("^login"), before: "/other"}
	o.rounds = 1
	rows := o.chosen()
	for _, r := range rows {
		v := r.setting.servers[1]
		if r.setting != rows[0].setting || r.runs[1].server != v.name || v.program != "/other" || len(r.setting.servers) != 4 {
			t.Errorf("%s: %+v, %+v", r.name, r.runs[1], r.setting)
		}
	}
	if len(three) != 3 {
		t.Error("what others share was changed")
	}
}

// TestRows: names tell rows apart, and each run has its server.
func TestRows(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range (pace{rounds: 5}).rows() {
		if seen[r.name] {
			t.Errorf("two rows are %s", r.name)
		}
		seen[r.name] = true
		for _, one := range r.runs {
			if !slices.ContainsFunc(r.setting.servers, func(v server) bool { return v.name == one.server }) {
				t.Errorf("%s: there is no server %s", r.name, one.server)
			}
		}
	}
}

// TestStage: what fails ends the part, after what was put on the stage is cleared
// away, the last first.
func TestStage(t *testing.T) {
	var order []string
	var dir string
	err := play(context.Background(), func(s *stage) {
		dir = s.TempDir()
		s.Cleanup(func() { order = append(order, "first") })
		s.Cleanup(func() {
			order = append(order, "last")
			if s.Context().Err() == nil {
				t.Error("the context goes on")
			}
		})
		s.must(nil)
		s.must(io.ErrUnexpectedEOF)
		order = append(order, "never")
	})
	if err == nil || !strings.Contains(err.Error(), io.ErrUnexpectedEOF.Error()) {
		t.Errorf("%v", err)
	}
	if got := strings.Join(order, " "); got != "last first" {
		t.Error(got)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}

// TestMessage: sizes are those that names tell.
func TestMessage(t *testing.T) {
	for _, size := range []int{200, 4 << 10, 50 << 10} {
		text := message(7, size)
		if len(text) != size || !bytes.HasSuffix(text, []byte("\n")) || bytes.Contains(text, []byte("\n.")) {
			t.Errorf("%d octets of %d", len(text), size)
		}
		// The number may move the ends of lines, but not change how many there are.
		if got, want := len(bytes.ReplaceAll(message(999, size), []byte("\n"), []byte("\r\n"))), wireSize(size); got != want {
			t.Errorf("%d octets on the wire, not %d", got, want)
		}
	}
}
