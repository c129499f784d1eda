package plot

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"
)

// The drawing's size, and where in it the curves are, in pixels.
const (
	width, height = 820, 500
	left, right   = 85, 640
	top, bottom   = 55, 435
)

// colors are told apart by all eyes (Okabe and Ito), dashes by all printers.
var (
	colors = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"}
	dashes = []string{"none", "7 3", "2 3", "9 3 2 3"}
)

// SVG writes the drawing. Points whose numbers are none make an error, as do
// those that a logarithmic axis does not have.
func (c *Chart) SVG(w io.Writer) error {
	x, y, err := c.scales()
	if err != nil {
		return err
	}
	var d drawing
	d.f(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="13">`+"\n", width, height)
	d.f(`<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	d.text((left+right)/2, 28, "middle", `font-size="17"`, c.Title)
	d.axes(x, y)
	d.text((left+right)/2, bottom+45, "middle", "", c.X)
	middle := (top + bottom) / 2
	d.text(22, middle, "middle", fmt.Sprintf(`transform="rotate(-90 22 %d)"`, middle), c.Y)
	for i, s := range c.Series {
		d.series(i, s, x, y)
	}
	d.f("</svg>\n")
	_, err = w.Write(d.Bytes())
	return err
}

// scales returns the axes for all points.
func (c *Chart) scales() (x, y *scale, err error) {
	leastX, mostX := math.Inf(1), math.Inf(-1)
	leastY, mostY := leastX, mostX
	for _, s := range c.Series {
		for _, p := range s.Points {
			leastX, mostX = min(leastX, p.X), max(mostX, p.X)
			leastY, mostY = min(leastY, p.Y), max(mostY, p.Y)
		}
	}
	if x, err = newScale(leastX, mostX, c.LogX); err == nil {
		y, err = newScale(leastY, mostY, c.LogY)
	}
	if err != nil {
		return nil, nil, err
	}
	x.from, x.to = left, right
	y.from, y.to = bottom, top
	return x, y, nil
}

// A drawing is the file so far.
type drawing struct{ bytes.Buffer }

func (d *drawing) f(format string, a ...any) { fmt.Fprintf(d, format, a...) }

// text puts a text, whatever it says, at a place.
func (d *drawing) text(x, y int, anchor, attributes, text string) {
	d.f(`<text x="%d" y="%d" text-anchor="%s" %s>`, x, y, anchor, attributes)
	_ = xml.EscapeText(d, []byte(text)) // a Buffer takes everything
	d.f("</text>\n")
}

// axes draws the frame, and a line through it for each tick.
func (d *drawing) axes(x, y *scale) {
	for _, v := range x.ticks {
		at := x.at(v)
		d.f(`<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#ddd"/>`+"\n", at, top, at, bottom)
		d.text(int(at+0.5), bottom+18, "middle", "", label(v))
	}
	for _, v := range y.ticks {
		at := y.at(v)
		d.f(`<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`+"\n", left, at, right, at)
		d.text(left-7, int(at+5), "end", "", label(v))
	}
	d.f(`<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#333"/>`+"\n", left, top, right-left, bottom-top)
}

// series draws a curve, and its entry in the legend.
func (d *drawing) series(i int, s Series, x, y *scale) {
	color, dash := colors[i%len(colors)], dashes[i/len(colors)%len(dashes)]
	d.f(`<g stroke="%s" fill="%[1]s">`+"\n"+`<polyline fill="none" stroke-width="2" stroke-dasharray="%s" points="`, color, dash)
	for _, p := range s.Points {
		d.f("%.1f,%.1f ", x.at(p.X), y.at(p.Y))
	}
	d.f(`"/>` + "\n")
	for _, p := range s.Points {
		d.f(`<circle cx="%.1f" cy="%.1f" r="3.5"/>`+"\n", x.at(p.X), y.at(p.Y))
	}
	at := top + 10 + 22*i
	d.f(`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke-width="2" stroke-dasharray="%s"/>`+"\n</g>\n", right+14, at, right+38, at, dash)
	d.text(right+44, at+5, "start", "", s.Name)
}
