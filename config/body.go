package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A Place says where a block and its arguments stand, for problems that are
// found later.
type Place struct {
	// Header is the block's first line; of a [File], its first line.
	Header Range

	args map[string]Range
}

// At returns where the value of an argument stands, or the header where the
// argument is absent.
func (p Place) At(name string) Range {
	if r, ok := p.args[name]; ok {
		return r
	}
	return p.Header
}

// has reports whether the argument was written.
func (p Place) has(name string) bool {
	_, ok := p.args[name]
	return ok
}

// A field is one argument that a block may have. set decodes it into where it
// belongs, which holds the default until then.
type field struct {
	name     string
	required bool
	set      func(*decoder, *hclsyntax.Attribute)
}

func must(name string, set func(*decoder, *hclsyntax.Attribute)) field {
	return field{name, true, set}
}

func may(name string, set func(*decoder, *hclsyntax.Attribute)) field {
	return field{name, false, set}
}

// A block is one kind of block that may stand in another, or in a file.
type block struct {
	name     string
	labels   []string // what each label is, for messages
	single   bool     // no second one
	required bool
	read     func(*decoder, *hclsyntax.Block)
}

// A schema is what a block may hold. Its order is the order of decoding.
type schema struct {
	what   string // for messages: "listener"; "": a file
	fields []field
	blocks []block
}

// A decoder turns parsed files into a File and collects what is wrong.
type decoder struct {
	sources  map[string]*source
	outside  *outside
	problems Diagnostics

	// partial: a file does not parse, and what seems to be missing may be in
	// what was not understood.
	partial bool
}

func (d *decoder) errorf(at Range, summary, format string, args ...any) {
	d.add(&Problem{Summary: summary, Detail: fmt.Sprintf(format, args...), Range: at})
}

func (d *decoder) warnf(at Range, summary, format string, args ...any) {
	d.add(&Problem{Warning: true, Summary: summary, Detail: fmt.Sprintf(format, args...), Range: at})
}

// add records p, unless the same was said of the same place.
func (d *decoder) add(p *Problem) {
	p.src = d.sources[p.Range.Filename]
	same := func(q *Problem) bool {
		return q.Range == p.Range && q.Summary == p.Summary && q.Detail == p.Detail
	}
	if len(d.problems) < maxProblems && !slices.ContainsFunc(d.problems, same) {
		d.problems = append(d.problems, p)
	}
}

// addHCL records what the hcl library found, but not its values of variables.
func (d *decoder) addHCL(diags hcl.Diagnostics) {
	for _, diag := range diags {
		p := &Problem{Warning: diag.Severity == hcl.DiagWarning, Summary: diag.Summary, Detail: diag.Detail}
		if diag.Subject != nil {
			p.Range = *diag.Subject
		}
		d.add(p)
	}
}

// block decodes one block by its schema.
func (d *decoder) block(b *hclsyntax.Block, s schema) Place {
	return d.bodies([]*hclsyntax.Body{b.Body}, b.DefRange(), s)
}

// bodies decodes bodies that count as one: a block's, or all files'.
func (d *decoder) bodies(bodies []*hclsyntax.Body, header Range, s schema) Place {
	place := Place{Header: header, args: map[string]Range{}}
	args := map[string]*hclsyntax.Attribute{}
	for _, body := range bodies {
		d.arguments(body, s, args)
	}
	for name, a := range args {
		place.args[name] = a.Expr.Range()
	}
	for _, f := range s.fields {
		a, ok := args[f.name]
		switch {
		case ok:
			f.set(d, a)
		case f.required && !d.partial:
			d.errorf(header, "Missing argument", "The argument %q is required%s.", f.name, s.in())
		}
	}
	d.blocks(bodies, header, s)
	return place
}

func (s schema) in() string {
	if s.what == "" {
		return ""
	}
	article := " in a "
	if strings.ContainsRune("aeiou", rune(s.what[0])) {
		article = " in an "
	}
	return article + s.what + " block"
}

// arguments adds body's arguments to args, and reports those that s does not
// have and those that were there before, from another file.
func (d *decoder) arguments(body *hclsyntax.Body, s schema, args map[string]*hclsyntax.Attribute) {
	sorted := slices.SortedFunc(maps.Values(body.Attributes), func(a, b *hclsyntax.Attribute) int {
		return cmp.Compare(a.SrcRange.Start.Byte, b.SrcRange.Start.Byte)
	})
	for _, a := range sorted {
		first, again := args[a.Name]
		switch {
		case !slices.ContainsFunc(s.fields, func(f field) bool { return f.name == a.Name }):
			d.errorf(a.NameRange, "Unsupported argument", "There is no argument %q%s.%s", a.Name, s.in(), s.hint(a.Name))
		case again:
			d.errorf(a.NameRange, "Argument set twice", "The argument %q was set at %s:%d.",
				a.Name, first.SrcRange.Filename, first.SrcRange.Start.Line)
		default:
			args[a.Name] = a
		}
	}
}

// hint says what may have been meant by an argument that does not exist.
func (s schema) hint(name string) string {
	var names []string
	for _, f := range s.fields {
		if f.name == name+"_file" { // a secret is never written here
			return fmt.Sprintf(" Put it into a file of its own and name that with %q.", f.name)
		}
		names = append(names, f.name)
	}
	for _, b := range s.blocks {
		if b.name == name {
			return fmt.Sprintf(" Did you mean a block, %s { … }?", name)
		}
	}
	return didYouMean(name, names)
}

// blocks decodes the nested blocks in the order in which they stand.
func (d *decoder) blocks(bodies []*hclsyntax.Body, header Range, s schema) {
	first := map[string]*hclsyntax.Block{}
	for _, body := range bodies {
		for _, b := range body.Blocks {
			kind, ok := s.find(b.Type)
			switch {
			case !ok:
				d.errorf(b.TypeRange, "Unsupported block", "There are no blocks of type %q here.%s", b.Type, s.blockHint(b.Type))
			case !d.labelled(b, kind):
			case kind.single && first[b.Type] != nil:
				at := first[b.Type].DefRange()
				d.errorf(b.DefRange(), "Duplicate block", "There may be one %q block only; the first is at %s:%d.",
					b.Type, at.Filename, at.Start.Line)
			default:
				first[b.Type] = b
				kind.read(d, b)
			}
		}
	}
	for _, kind := range s.blocks {
		if kind.required && !d.partial && first[kind.name] == nil && !d.said(kind.name, bodies) {
			d.errorf(header, "Missing block", "A %q block is required%s.", kind.name, cmp.Or(s.in(), " here"))
		}
	}
}

// said reports whether a block of this type is there at all, though refused.
func (d *decoder) said(kind string, bodies []*hclsyntax.Body) bool {
	return slices.ContainsFunc(bodies, func(body *hclsyntax.Body) bool {
		return slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == kind })
	})
}

func (s schema) find(name string) (block, bool) {
	i := slices.IndexFunc(s.blocks, func(b block) bool { return b.name == name })
	if i < 0 {
		return block{}, false
	}
	return s.blocks[i], true
}

func (s schema) blockHint(name string) string {
	for _, f := range s.fields {
		if f.name == name {
			return fmt.Sprintf(" Did you mean an argument, %s = …?", name)
		}
	}
	var names []string
	for _, b := range s.blocks {
		names = append(names, b.name)
	}
	return didYouMean(name, names)
}

// labelled reports whether b has the labels of its kind, each of which is a
// word that can be logged and compared as it is.
func (d *decoder) labelled(b *hclsyntax.Block, kind block) bool {
	if len(b.Labels) != len(kind.labels) {
		form := kind.name
		for _, l := range kind.labels {
			form += fmt.Sprintf(" %q", strings.ToUpper(l))
		}
		d.errorf(b.DefRange(), "Wrong number of labels", "Write it as: %s { … }.", form)
		return false
	}
	for i, l := range b.Labels {
		if !isLabel(l) {
			d.errorf(b.LabelRanges[i], "Unsuitable label",
				"The %s is made of 1 to 64 letters, digits, '-', '_' and '.', and begins with a letter or digit.", kind.labels[i])
			return false
		}
	}
	return true
}

func isLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("-_.", rune(c))) {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}
