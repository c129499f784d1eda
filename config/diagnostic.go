package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// A Range is a stretch of a configuration file.
type Range = hcl.Range

// A Problem is one thing that is wrong or doubtful in a configuration. It is
// an error with a place. Neither text holds a value that env or file read.
type Problem struct {
	Warning bool   // the configuration can be used all the same
	Summary string // a few words, without a full stop
	Detail  string // sentences; may be empty
	Range   Range  // no Filename: the configuration as a whole

	src *source
}

// Error returns the problem on one line: place, summary, detail.
func (p *Problem) Error() string {
	var b strings.Builder
	if p.Range.Filename != "" {
		fmt.Fprintf(&b, "%s:%d: ", p.Range.Filename, p.Range.Start.Line)
	}
	b.WriteString(p.Summary)
	if p.Detail != "" {
		b.WriteString("; " + p.Detail)
	}
	return b.String()
}

// Diagnostics are problems sorted by file and line. They are an error; use
// [Diagnostics.Err] to get nil where there are only warnings.
type Diagnostics []*Problem

// maxProblems bounds what one load reports; a broken file can hold thousands.
const maxProblems = 100

// HasErrors reports whether any problem is more than a warning.
func (d Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(d, func(p *Problem) bool { return !p.Warning })
}

// Err returns d as an error if it has errors, else nil.
func (d Diagnostics) Err() error {
	if !d.HasErrors() {
		return nil
	}
	return d
}

// Error returns one line a problem.
func (d Diagnostics) Error() string {
	lines := make([]string, len(d))
	for i, p := range d {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes each problem visible to [errors.As].
func (d Diagnostics) Unwrap() []error {
	errs := make([]error, len(d))
	for i, p := range d {
		errs[i] = p
	}
	return errs
}

// DiagnosticsOf returns err as diagnostics, sorted: each [*Problem] in its tree
// of joined errors as it is, any other error as a problem without a place. An
// error that wraps one problem is that problem.
func DiagnosticsOf(err error) Diagnostics {
	d := appendProblems(nil, err)
	d.sort()
	return d
}

func appendProblems(d Diagnostics, err error) Diagnostics {
	if err == nil {
		return d
	}
	if p, ok := err.(*Problem); ok {
		return append(d, p)
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			d = appendProblems(d, e)
		}
		return d
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		return append(d, p)
	}
	return append(d, &Problem{Summary: err.Error()})
}

// sort orders by place: problems of the whole first, then by file and byte.
// The order within one place is kept.
func (d Diagnostics) sort() {
	slices.SortStableFunc(d, func(a, b *Problem) int {
		return cmp.Or(
			cmp.Compare(a.Range.Filename, b.Range.Filename),
			cmp.Compare(a.Range.Start.Byte, b.Range.Start.Byte))
	})
}
