package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// checkLoops bounds the work of one evaluation.
func (d *decoder) checkLoops(expr hclsyntax.Expression) bool {
	var loops loopDepth
	hclsyntax.Walk(expr, &loops)
	if loops.most > maxLoops {
		d.errorf(expr.Range(), "Nested too deep", "Loops (for) may be nested %d deep.", maxLoops)
		return false
	}
	return true
}

// A loopDepth measures how deep for expressions are nested.
type loopDepth struct{ now, most int }

// Enter and Exit implement [hclsyntax.Walker].
func (l *loopDepth) Enter(n hclsyntax.Node) hcl.Diagnostics {
	if _, ok := n.(*hclsyntax.ForExpr); ok {
		l.now++
		l.most = max(l.most, l.now)
	}
	return nil
}

func (l *loopDepth) Exit(n hclsyntax.Node) hcl.Diagnostics {
	if _, ok := n.(*hclsyntax.ForExpr); ok {
		l.now--
	}
	return nil
}
