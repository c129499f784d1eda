package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"kpopd/cmd/popbench/plot"
)

func plotCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name:      "plot",
		Usage:     "draw curves from the JSON lines of runs, as SVG",
		ArgsUsage: "FILE.jsonl…",
		Description: "popbench plot -y server.cpu_ms_per_operation -log-x -o curves.svg runs.jsonl\n\n" +
			"There is a curve for each -label of the runs, and a point for each -x: the median\n" +
			"of those that have both in common. Runs without -x are left out.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "y", Value: "rate", Usage: "what to draw, a `FIELD` of the runs such as latency_ms.p99"},
			&cli.StringFlag{Name: "title", Usage: "`TEXT` above the curves"},
			&cli.StringFlag{Name: "x-title", Usage: "`TEXT` for the horizontal axis"},
			&cli.StringFlag{Name: "y-title", Usage: "`TEXT` for the vertical axis; absent: the field"},
			&cli.BoolFlag{Name: "log-x", Usage: "logarithmic horizontal axis"},
			&cli.BoolFlag{Name: "log-y", Usage: "logarithmic vertical axis"},
			&cli.StringFlag{Name: "o", Usage: "write to `FILE`; absent: to standard output"},
		},
		Action: func(_ context.Context, cmd *cli.Command) error { return draw(cmd, stdout) },
	}
}

// draw draws what the files hold.
func draw(cmd *cli.Command, stdout io.Writer) error {
	if !cmd.Args().Present() {
		return usagef("plot: FILE.jsonl is needed")
	}
	values := samples{}
	for _, path := range cmd.Args().Slice() {
		if err := values.read(path, cmd.String("y")); err != nil {
			return err
		}
	}
	c := plot.Chart{
		Title: cmd.String("title"), X: cmd.String("x-title"), Y: cmp.Or(cmd.String("y-title"), cmd.String("y")),
		LogX: cmd.Bool("log-x"), LogY: cmd.Bool("log-y"), Series: values.series(),
	}
	var b bytes.Buffer
	if err := c.SVG(&b); err != nil {
		return fmt.Errorf("plot: %w", err)
	}
	if path := cmd.String("o"); path != "" {
		return os.WriteFile(path, b.Bytes(), 0o644)
	}
	_, err := stdout.Write(b.Bytes())
	return err
}

// samples are what runs measured, by label and place.
type samples map[string]map[float64][]float64

// read adds a field of the runs in a file.
func (s samples) read(path, field string) error {
	return eachRun(path, func(run map[string]any) error {
		x, placed := run["x"].(float64)
		y, known := lookUp(run, field)
		switch label, _ := run["label"].(string); {
		case !placed:
		case !known:
			return fmt.Errorf("a run has no number called %s", field)
		case s[label] == nil:
			s[label] = map[float64][]float64{x: {y}}
		default:
			s[label][x] = append(s[label][x], y)
		}
		return nil
	})
}

// series returns a curve of medians for each label, in the order of labels.
func (s samples) series() (all []plot.Series) {
	for _, label := range slices.Sorted(maps.Keys(s)) {
		curve := plot.Series{Name: label}
		for _, x := range slices.Sorted(maps.Keys(s[label])) {
			curve.Points = append(curve.Points, plot.Point{X: x, Y: median(s[label][x])})
		}
		all = append(all, curve)
	}
	return all
}

// eachRun calls fn with each JSON line of a file.
func eachRun(path string, fn func(map[string]any) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	d := json.NewDecoder(bufio.NewReader(f))
	for n := 1; ; n++ {
		var run map[string]any
		err := d.Decode(&run)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = fn(run)
		}
		if err != nil {
			return fmt.Errorf("%s, run %d: %w", path, n, err)
		}
	}
}

// lookUp returns a number by a path such as latency_ms.p99.
func lookUp(run map[string]any, path string) (v float64, ok bool) {
	name, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		v, ok = run[name].(float64)
		return v, ok
	}
	inner, _ := run[name].(map[string]any)
	return lookUp(inner, rest)
}

// median returns the middle of at least one value, or the mean of the two in
// the middle.
func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}
