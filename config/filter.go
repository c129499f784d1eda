package config

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// filter takes an LDAP filter: a template, or a conditional of templates, that
// uses one of these variables, or everybody would be found.
func filter(dst **Expression, allowed []string, uses ...string) func(*decoder, *hclsyntax.Attribute) {
	return func(d *decoder, a *hclsyntax.Attribute) {
		var e *Expression
		expression(&e, allowed, isText)(d, a)
		switch {
		case e == nil:
			return
		case !isFilter(a.Expr):
			d.errorf(a.Expr.Range(), "Not a filter", "Write the filter in quotes, with values in ${…}; they are escaped for you.")
		case !slices.ContainsFunc(uses, func(name string) bool { return slices.Contains(e.names, name) }):
			d.errorf(a.Expr.Range(), "Filter for everybody", "The filter must use ${%s}.", strings.Join(uses, "} or ${"))
		default:
			*dst = e
		}
	}
}

// isFilter reports whether expr is written as text that opens a parenthesis,
// in every branch. Whatever is computed gets escaped and would not be one.
func isFilter(expr hclsyntax.Expression) bool {
	switch e := expr.(type) {
	case *hclsyntax.ParenthesesExpr:
		return isFilter(e.Expression)
	case *hclsyntax.ConditionalExpr:
		return isFilter(e.TrueResult) && isFilter(e.FalseResult)
	case *hclsyntax.TemplateExpr:
		if len(e.Parts) == 0 {
			return false
		}
		lit, ok := e.Parts[0].(*hclsyntax.LiteralValueExpr)
		return ok && lit.Val.Type() == cty.String && strings.HasPrefix(lit.Val.AsString(), "(")
	}
	return false
}
