package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions returns the functions of expressions in files of directory dir.
func (o *outside) functions(dir string) map[string]function.Function {
	return map[string]function.Function{
		"lower":      textFunction(lowerASCII),
		"upper":      textFunction(upperASCII),
		"basename":   textFunction(basename),
		"sha256":     textFunction(sha256Hex),
		"trimsuffix": stdlib.TrimSuffixFunc,
		"split":      stdlib.SplitFunc,
		"join":       stdlib.JoinFunc,
		"replace":    replaceFunction(),
		"contains":   containsFunction(),
		"regex":      regexFunction(),
		"env":        o.envFunction(),
		"file":       o.fileFunction(dir),
	}
}

func textFunction(f func(string) string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "string", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal(f(args[0].AsString())), nil
		},
	})
}

// lowerASCII and upperASCII fold ASCII only. By Unicode's rules the Kelvin
// sign would become a k, and whoever is called so somebody else.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func upperASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' {
			return r - ('a' - 'A')
		}
		return r
	}, s)
}

func basename(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

func sha256Hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// maxText is the most that replace makes. Nested, it could make anything of a
// short name.
const maxText = 64 << 10

func replaceFunction() function.Function {
	param := func(name string) function.Parameter { return function.Parameter{Name: name, Type: cty.String} }
	return function.New(&function.Spec{
		Params: []function.Parameter{param("string"), param("old"), param("new")},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, from, to := args[0].AsString(), args[1].AsString(), args[2].AsString()
			if len(s)+strings.Count(s, from)*len(to) > maxText {
				return cty.NilVal, errors.New("the result is too long")
			}
			return cty.StringVal(strings.ReplaceAll(s, from, to)), nil
		},
	})
}

// containsFunction is the library's, but says before any login that the list
// comes first.
func containsFunction() function.Function {
	dynamic := func(name string) function.Parameter {
		return function.Parameter{Name: name, Type: cty.DynamicPseudoType}
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{dynamic("list"), dynamic("value")},
		Type: func(args []cty.Value) (cty.Type, error) {
			if t := args[0].Type(); !t.IsListType() && !t.IsSetType() && !t.IsTupleType() {
				return cty.NilType, function.NewArgErrorf(0, "the list comes first, as in contains(groups, \"pop-users\"), and this is a %s", t.FriendlyName())
			}
			return cty.Bool, nil
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return stdlib.Contains(args[0], args[1]) },
	})
}

// regexFunction is the library's, with an error that can be recognised.
func regexFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "pattern", Type: cty.String}, {Name: "string", Type: cty.String}},
		Type: func(args []cty.Value) (cty.Type, error) {
			return stdlib.RegexFunc.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, err := stdlib.RegexFunc.Call(args)
			if err != nil { // the pattern was tried when the file was loaded
				return cty.NilVal, ErrNoMatch
			}
			return v, nil
		},
	})
}

// isOutside reports whether a function reads something besides its arguments.
func isOutside(name string) bool { return name == "env" || name == "file" }

// callsIn returns the function calls in expr, outer ones before inner ones.
func callsIn(expr hclsyntax.Expression) []*hclsyntax.FunctionCallExpr {
	var calls []*hclsyntax.FunctionCallExpr
	hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		if c, ok := n.(*hclsyntax.FunctionCallExpr); ok {
			calls = append(calls, c)
		}
		return nil
	})
	return calls
}

// checkName checks that there is such a function. The evaluation would find
// out too, but only in what it comes to evaluate.
func (d *decoder) checkName(e *Expression, c *hclsyntax.FunctionCallExpr) bool {
	if _, ok := e.funcs[c.Name]; ok {
		e.secret = e.secret || isOutside(c.Name)
		return true
	}
	names := slices.Sorted(maps.Keys(e.funcs))
	d.errorf(c.NameRange, "Unknown function", "There is no function %q.%s Known here: %s.",
		c.Name, didYouMean(c.Name, names), strings.Join(names, ", "))
	return false
}

// checkCall checks the arguments that must not depend on a login, and calls
// env and file for the first and only time.
func (d *decoder) checkCall(e *Expression, c *hclsyntax.FunctionCallExpr) bool {
	constant := len(c.Args)
	switch {
	case c.Name == "regex":
		constant = min(1, constant)
	case !isOutside(c.Name):
		return true
	}
	if c.ExpandFinal {
		d.errorf(c.Range(), "Argument not constant", "The arguments of %s are written out, without an ellipsis.", c.Name)
		return false
	}
	var args []string
	for _, arg := range c.Args[:constant] {
		s, ok := d.constant(e, c, arg)
		if !ok {
			return false
		}
		args = append(args, s)
	}
	return d.tryCall(e, c, args)
}

// constant evaluates an argument without variables.
func (d *decoder) constant(e *Expression, c *hclsyntax.FunctionCallExpr, arg hclsyntax.Expression) (string, bool) {
	if len(arg.Variables()) > 0 {
		d.errorf(arg.Range(), "Argument not constant", "What %s takes here must not depend on a variable.", strconv.Quote(c.Name))
		return "", false
	}
	v, diags := arg.Value(&hcl.EvalContext{Functions: e.funcs})
	if diags.HasErrors() {
		d.addHCL(e.discreet(diags))
		return "", false
	}
	v, err := convert.Convert(v, cty.String)
	if err != nil || v.IsNull() || !v.IsKnown() {
		d.errorf(arg.Range(), "Invalid function argument", "%q takes a string here.", c.Name)
		return "", false
	}
	return v.AsString(), true
}

func (d *decoder) tryCall(e *Expression, c *hclsyntax.FunctionCallExpr, args []string) bool {
	var err error
	switch {
	case len(args) == 0: // the evaluation complains of their number
	case c.Name == "regex":
		_, err = regexp.Compile(args[0])
	case c.Name == "env":
		_, err = d.outside.env(args[0], args[1:]...)
	case c.Name == "file":
		_, err = d.outside.file(dirOf(c.Range()), args[0])
	}
	if err == nil {
		return true
	}
	what := strconv.Quote(args[0])
	if len(callsIn(c.Args[0])) > 0 && e.secret {
		what = "What it takes"
	}
	if c.Name == "regex" {
		d.errorf(c.Args[0].Range(), "Invalid pattern", "%s is not a regular expression of RE2.", what)
		return false
	}
	d.errorf(c.Range(), "Cannot read from outside", "%s cannot be read by %s: %s.", what, c.Name, err)
	return false
}
