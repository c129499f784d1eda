package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// An Expression is an HCL expression that was checked when its file was loaded
// and is evaluated at each login. It is safe for concurrent use.
type Expression struct {
	expr   hclsyntax.Expression
	funcs  map[string]function.Function
	names  []string // the variables it uses
	attrs  []string // the X of each attr.X it uses
	secret bool     // it calls env or file
}

// value evaluates e.
func (e *Expression) value(f Facts, edit func(string) string) (cty.Value, error) {
	ctx, err := e.variables(f, edit)
	if err != nil {
		return cty.NilVal, err
	}
	return evaluate(e.expr, ctx)
}

// EvalEscaped evaluates e to a string in another language, such as an LDAP
// filter. What the configuration wrote between the quotes goes into it as it
// is; what is computed, in each ${…}, goes through escape, whole.
//
// An entry that lacks an attr, or a regex that does not match, is an error.
func (e *Expression) EvalEscaped(f Facts, escape func(string) string) (string, error) {
	ctx, err := e.variables(f, asIs)
	if err != nil {
		return "", err
	}
	return render(e.expr, ctx, func(part hclsyntax.Expression) (string, error) {
		s, err := evaluateText(part, ctx)
		return escape(s), err
	})
}

// render evaluates a template. Its literal parts stay as they are, whichever
// branch of a conditional they are in; computed makes all others.
func render(expr hclsyntax.Expression, ctx *hcl.EvalContext, computed func(hclsyntax.Expression) (string, error)) (string, error) {
	switch e := expr.(type) {
	case *hclsyntax.LiteralValueExpr:
		return evaluateText(e, ctx)
	case *hclsyntax.ParenthesesExpr:
		return render(e.Expression, ctx, computed)
	case *hclsyntax.TemplateWrapExpr:
		return render(e.Wrapped, ctx, computed)
	case *hclsyntax.ConditionalExpr:
		branch, err := choose(e, ctx)
		if err != nil {
			return "", err
		}
		return render(branch, ctx, computed)
	case *hclsyntax.TemplateExpr:
		var b strings.Builder
		for _, part := range e.Parts {
			s, err := render(part, ctx, computed)
			if err != nil {
				return "", err
			}
			b.WriteString(s)
		}
		return b.String(), nil
	}
	return computed(expr)
}

func choose(e *hclsyntax.ConditionalExpr, ctx *hcl.EvalContext) (hclsyntax.Expression, error) {
	v, err := evaluate(e.Condition, ctx)
	if err != nil {
		return nil, err
	}
	yes, err := asBool(v, e.Condition)
	if err != nil {
		return nil, err
	}
	if yes {
		return e.TrueResult, nil
	}
	return e.FalseResult, nil
}

// evaluate evaluates expr. The error has the place and the kind of mistake,
// but no values: they are the client's or the configuration's secrets.
func evaluate(expr hclsyntax.Expression, ctx *hcl.EvalContext) (cty.Value, error) {
	v, diags := expr.Value(ctx)
	for _, diag := range diags {
		extra, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](diag)
		if ok && extra.FunctionCallError() == ErrNoMatch {
			return cty.NilVal, errNoRegex
		}
	}
	if diags.HasErrors() {
		return cty.NilVal, placed(expr, diags.Errs()[0].(*hcl.Diagnostic).Summary)
	}
	return v, nil
}

func evaluateText(expr hclsyntax.Expression, ctx *hcl.EvalContext) (string, error) {
	v, err := evaluate(expr, ctx)
	if err != nil {
		return "", err
	}
	if v, err = convert.Convert(v, cty.String); err != nil || v.IsNull() || !v.IsKnown() {
		return "", placed(expr, "The result is no string")
	}
	return v.AsString(), nil
}

func asBool(v cty.Value, expr hclsyntax.Expression) (bool, error) {
	v, err := convert.Convert(v, cty.Bool)
	if err != nil || v.IsNull() || !v.IsKnown() {
		return false, placed(expr, "The result is neither true nor false")
	}
	return v.True(), nil
}

func placed(expr hclsyntax.Expression, what string) error {
	r := expr.Range()
	return fmt.Errorf("%s:%d: %s", r.Filename, r.Start.Line, what)
}

// check checks all of an expression that can be checked before a login:
// variables, functions, arguments that must be constant. It returns nil where
// it found a mistake.
func (d *decoder) check(expr hclsyntax.Expression, allowed []string) *Expression {
	e := &Expression{expr: expr, funcs: d.outside.functions(dirOf(expr.Range()))}
	ok := d.checkLoops(expr)
	for _, t := range expr.Variables() {
		ok = d.checkVariable(e, t, allowed) && ok
	}
	calls := callsIn(expr)
	for _, c := range calls {
		ok = d.checkName(e, c) && ok
	}
	// Inner calls come later in the list and are checked first.
	for _, c := range slices.Backward(calls) {
		ok = ok && d.checkCall(e, c)
	}
	if !ok {
		return nil
	}
	return e
}

func (d *decoder) checkVariable(e *Expression, t hcl.Traversal, allowed []string) bool {
	name := t.RootName()
	switch {
	case slices.Contains(allowed, name):
	case slices.Contains(loginVariables, name) || slices.Contains(pathVariables, name):
		d.errorf(t.SourceRange(), "Variable not known here", "%q has no value where this is evaluated.%s", name, allowedHint(allowed))
		return false
	default:
		d.errorf(t.SourceRange(), "Unknown variable", "There is no variable %q.%s%s", name, didYouMean(name, allowed), allowedHint(allowed))
		return false
	}
	if name == "attr" {
		key, ok := attrKey(t)
		if !ok {
			d.errorf(t.SourceRange(), "Attribute not named", "Name the attribute, as in attr.mailbox; it cannot be computed.")
			return false
		}
		e.attrs = appendNew(e.attrs, key)
	}
	e.names = appendNew(e.names, name)
	return true
}

func allowedHint(allowed []string) string {
	if len(allowed) == 0 {
		return " This argument is evaluated when the file is loaded. If text is meant, put it in quotes."
	}
	return fmt.Sprintf(" Known here: %s.", strings.Join(allowed, ", "))
}

// attrKey returns the X of attr.X or attr["X"].
func attrKey(t hcl.Traversal) (string, bool) {
	if len(t) < 2 {
		return "", false
	}
	switch step := t[1].(type) {
	case hcl.TraverseAttr:
		return step.Name, true
	case hcl.TraverseIndex:
		if step.Key.Type() == cty.String {
			return step.Key.AsString(), true
		}
	}
	return "", false
}

func appendNew(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// expression returns how to decode an argument that is evaluated at login and
// whose result has a type that fits.
func expression(dst **Expression, allowed []string, fits func(cty.Type) *complaint) func(*decoder, *hclsyntax.Attribute) {
	return func(d *decoder, a *hclsyntax.Attribute) {
		e := d.check(a.Expr, allowed)
		if e == nil {
			return
		}
		v, diags := a.Expr.Value(&hcl.EvalContext{Variables: unknowns(e.names, e.attrs), Functions: e.funcs})
		if diags.HasErrors() {
			d.addHCL(e.discreet(diags))
			return
		}
		if c := fitsValue(v, fits); c != nil {
			d.errorf(a.Expr.Range(), "Invalid value for "+fmt.Sprintf("%q", a.Name), "%s", c.text)
			return
		}
		*dst = e
	}
}

func fitsValue(v cty.Value, fits func(cty.Type) *complaint) *complaint {
	switch {
	case v.IsNull():
		return complain("It has no value.")
	case v.Type() == cty.DynamicPseudoType: // only a login can tell
		return nil
	}
	return fits(v.Type())
}

// discreet leaves out the details of mistakes in an expression that reads a
// file or the environment, because they could quote what was read.
func (e *Expression) discreet(diags hcl.Diagnostics) hcl.Diagnostics {
	if !e.secret {
		return diags
	}
	var out hcl.Diagnostics
	for _, diag := range diags {
		out = append(out, &hcl.Diagnostic{Severity: diag.Severity, Summary: diag.Summary, Subject: diag.Subject,
			Detail: "The details are withheld, because the expression reads a file or the environment."})
	}
	return out
}

func isText(t cty.Type) *complaint {
	if t != cty.String {
		return complain("The result must be a string, not a %s.", t.FriendlyName())
	}
	return nil
}

func isCondition(t cty.Type) *complaint {
	if t != cty.Bool {
		return complain("The result must be true or false, not a %s. Compare it with something.", t.FriendlyName())
	}
	return nil
}
