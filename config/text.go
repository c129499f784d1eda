package config

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Escape sequences of a terminal, as hcl's own text writer uses them. That
// writer is not used because it reads the whole file again for each problem,
// and knows nothing of secrets.
const (
	red       = "\x1b[31m"
	yellow    = "\x1b[33m"
	underline = "\x1b[1;4m"
	reset     = "\x1b[0m"
)

// WriteText writes the problems for people: severity, place, the source line
// with secrets masked, and the detail wrapped at width columns. Width 0 does
// not wrap. With color, severity and place are highlighted for a terminal.
func (d Diagnostics) WriteText(w io.Writer, width int, color bool) error {
	var b strings.Builder
	for _, p := range d {
		p.write(&b, width, color)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *Problem) write(b *strings.Builder, width int, color bool) {
	severity, shade := "Error", red
	if p.Warning {
		severity, shade = "Warning", yellow
	}
	if color {
		severity = shade + severity + reset
	}
	fmt.Fprintf(b, "%s: %s\n\n", severity, printable(p.Summary))
	if p.Range.Filename != "" {
		p.writePlace(b, color)
	}
	if p.Detail != "" {
		fmt.Fprintf(b, "%s\n\n", wrap(printable(p.Detail), width))
	}
}

func (p *Problem) writePlace(b *strings.Builder, color bool) {
	if p.src == nil || p.Range.Start.Byte > len(p.src.text) {
		fmt.Fprintf(b, "  on %s line %d\n\n", printable(p.Range.Filename), p.Range.Start.Line)
		return
	}
	in := p.src.header(p.Range.Start.Byte)
	if in != "" {
		in = ", in " + in
	}
	s := p.src.snippet(p.Range)
	if color && s.marked != "" {
		s.marked = underline + s.marked + reset
	}
	fmt.Fprintf(b, "  on %s line %d%s:\n%4d: %s%s%s\n\n",
		printable(p.Range.Filename), p.Range.Start.Line, printable(in), p.Range.Start.Line, s.before, s.marked, s.after)
}

// A snippet is a source line as it may be shown, in three parts.
type snippet struct{ before, marked, after string }

// maxAround is how much of a long line is shown on each side, in octets.
const maxAround = 120

// snippet returns the first line of r.
func (s *source) snippet(r Range) snippet {
	m := s.masked()
	from, to := m.move(r.Start.Byte), m.move(min(r.End.Byte, len(s.text)))
	start := bytes.LastIndexByte(m.text[:from], '\n') + 1
	end := len(m.text)
	if i := bytes.IndexByte(m.text[from:], '\n'); i >= 0 {
		end = from + i
	}
	// HCL may begin or end a range within a character.
	for from > start && from < end && !utf8.RuneStart(m.text[from]) {
		from--
	}
	to = min(max(from, to), end)
	for to < end && !utf8.RuneStart(m.text[to]) {
		to++
	}
	return snippet{
		before: cutLeft(string(m.text[start:from])),
		marked: cutRight(string(m.text[from:to])),
		after:  strings.TrimRight(cutRight(string(m.text[to:end])), "\r"),
	}
}

func cutLeft(s string) string {
	if len(s) <= maxAround {
		return s
	}
	s = s[len(s)-maxAround:]
	for !utf8.RuneStart(s[0]) && len(s) > 1 {
		s = s[1:]
	}
	return "…" + s
}

func cutRight(s string) string {
	if len(s) <= maxAround {
		return s
	}
	n := maxAround
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// header returns the header of the top-level block at offset, or "".
func (s *source) header(offset int) string {
	if s.file == nil {
		return ""
	}
	nav, ok := s.file.Nav.(interface{ ContextString(int) string })
	if !ok {
		return ""
	}
	header := nav.ContextString(offset)
	if kind, _, _ := strings.Cut(header, " "); isSecretName(kind) {
		return kind // its label would be the secret
	}
	return header
}

// wrap breaks s into lines of at most width columns, where its spaces permit.
func wrap(s string, width int) string {
	if width <= 0 {
		return s
	}
	var b strings.Builder
	column := 0
	for i, word := range strings.Split(s, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

func printable(s string) string { return string(appendPrintable(nil, []byte(s))) }
