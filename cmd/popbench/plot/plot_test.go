package plot_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"kpopd/cmd/popbench/plot"
)

// circles draws a chart, which has to be well-formed, and returns its points in
// pixels, and its texts.
func circles(t *testing.T, c plot.Chart) (points [][2]float64, texts []string) {
	t.Helper()
	var b bytes.Buffer
	if err := c.SVG(&b); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(&b); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return points, texts
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local == "circle" {
				points = append(points, [2]float64{attribute(t, token, "cx"), attribute(t, token, "cy")})
			}
		case xml.CharData:
			texts = append(texts, strings.TrimSpace(string(token)))
		}
	}
}

func attribute(t *testing.T, e xml.StartElement, name string) (v float64) {
	t.Helper()
	for _, a := range e.Attr {
		if a.Name.Local == name {
			if _, err := fmt.Sscan(a.Value, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("%s without %s", e.Name.Local, name)
	return 0
}

// middle checks that b is halfway between a and c.
func middle(t *testing.T, what string, a, b, c float64) {
	t.Helper()
	if math.Abs(a+c-2*b) > 0.2 || a == c {
		t.Errorf("%s: %g is not in the middle of %g and %g", what, b, a, c)
	}
}

func TestPlaces(t *testing.T) {
	linear := []plot.Point{{0, 0}, {50, 500}, {100, 1000}}
	powers := []plot.Point{{10, 0.1}, {1000, 10}, {100_000, 1000}}
	for _, c := range []plot.Chart{
		{Series: []plot.Series{{"a", linear}}},
		{Series: []plot.Series{{"a", powers}}, LogX: true, LogY: true},
		{Series: []plot.Series{{"a", []plot.Point{{10, 1}, {100, 2}, {1000, 3}}}}, LogX: true},
	} {
		p, _ := circles(t, c)
		if len(p) != 3 {
			t.Fatalf("%d points", len(p))
		}
		middle(t, "x", p[0][0], p[1][0], p[2][0])
		middle(t, "y", p[0][1], p[1][1], p[2][1])
		if p[0][0] >= p[2][0] || p[0][1] <= p[2][1] {
			t.Errorf("the axes do not go to the right and up: %v", p)
		}
		for _, at := range p {
			if at[0] < 85 || at[0] > 640 || at[1] < 55 || at[1] > 435 {
				t.Errorf("%v is outside of the frame", at)
			}
		}
	}
}

func TestTexts(t *testing.T) {
	c := plot.Chart{Title: "a < b & \"c\"", X: "messages", Y: "ms", LogX: true, Series: []plot.Series{
		{"kpopd", []plot.Point{{10, 1}, {1e6, 40}}}, {"<Dovecot>", []plot.Point{{10, 2}, {1e6, 80}}}}}
	points, texts := circles(t, c)
	if len(points) != 4 {
		t.Errorf("%d points", len(points))
	}
	for _, want := range []string{c.Title, "messages", "ms", "kpopd", "<Dovecot>", "10", "1k", "1M", "0", "20", "80"} {
		if !slices.Contains(texts, want) {
			t.Errorf("no %q in %q", want, texts)
		}
	}
}

func TestImpossible(t *testing.T) {
	for _, c := range []plot.Chart{
		{},
		{Series: []plot.Series{{Name: "empty"}}},
		{LogX: true, Series: []plot.Series{{"a", []plot.Point{{0, 1}}}}},
		{LogY: true, Series: []plot.Series{{"a", []plot.Point{{1, -1}}}}},
		{Series: []plot.Series{{"a", []plot.Point{{math.NaN(), 1}}}}},
		{Series: []plot.Series{{"a", []plot.Point{{1, math.Inf(1)}}}}},
	} {
		if err := c.SVG(io.Discard); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
	one := plot.Chart{Series: []plot.Series{{"a", []plot.Point{{0, 0}}}}}
	if err := one.SVG(io.Discard); err != nil {
		t.Errorf("one point at 0: %v", err)
	}
}
