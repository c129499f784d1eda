package config

import (
	"fmt"
	gopath "path"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// A Maildrop says where mail is kept.
type Maildrop struct {
	Place

	Kind string // "maildir" or "mbox", the block's label
	// Root is the directory that nothing leads out of: what path has before
	// its first ${, without the slash at its end.
	Root string
	// UIDLChangeLimit is the share, in percent, of a maildrop's unique-ids above
	// which a change of them is refused. Default: 20. 100: nothing is refused.
	UIDLChangeLimit int

	// FolderSeparator stands between the name of a maildrop and that of one of its
	// Maildir++ folders, each of which is a maildrop too. Only a "maildir" has
	// them. Default: empty, there are none.
	FolderSeparator string

	// SaveCRLF: what kpopd delivers is kept with CRLF line ends. Only a
	// "maildir" has it. Default: as it comes.
	SaveCRLF bool

	// Mbox is what only an "mbox" has.
	Mbox Mbox

	// path is what follows the root, with ${maildrop}. Required.
	path  hclsyntax.Expression
	funcs map[string]function.Function
}

const defaultUIDLChangeLimit = 20

func (f *File) readMaildrop(d *decoder, b *hclsyntax.Block) {
	m := &f.Maildrop
	m.Kind = b.Labels[0]
	kinds := []string{"maildir", "mbox"}
	if m.Kind != kinds[0] && m.Kind != kinds[1] {
		d.errorf(b.LabelRanges[0], "Unsupported maildrop", "%q is not one of %s.%s",
			m.Kind, oneOfThese(kinds), didYouMean(m.Kind, kinds))
		return
	}
	var whole *Expression
	m.UIDLChangeLimit = defaultUIDLChangeLimit
	fields := []field{must("path", expression(&whole, pathVariables, isText)),
		may("uidl_change_limit", value(percent(&m.UIDLChangeLimit, 1)))}
	if m.Kind == "maildir" {
		fields = append(fields, may("save_crlf", value(boolean(&m.SaveCRLF))),
			may("folder_separator", value(oneOf(&m.FolderSeparator, "+", "=", "~", "#"))))
	}
	if m.Kind == "mbox" {
		fields = append(fields, m.Mbox.fields()...)
	}
	m.Place = d.block(b, schema{what: "maildrop", fields: fields})
	if m.Kind == "mbox" && whole != nil {
		m.Mbox.check(d, m)
	}
	if whole == nil {
		return
	}
	if c := m.split(whole); c != nil {
		d.errorf(m.At("path"), `Invalid value for "path"`, "%s", c.text)
	}
}

// split divides the path into the root, which is literal, and the rest.
func (m *Maildrop) split(e *Expression) *complaint {
	if len(e.names) == 0 {
		return complain("It must use ${maildrop}, or all would share one maildrop.")
	}
	t, ok := e.expr.(*hclsyntax.TemplateExpr)
	if !ok || len(t.Parts) < 2 {
		return complain(`It must begin with the directory of all maildrops, as in "/srv/mail/${maildrop}".`)
	}
	var root string
	if lit, ok := t.Parts[0].(*hclsyntax.LiteralValueExpr); ok && lit.Val.Type() == cty.String {
		root = lit.Val.AsString()
	}
	clean, slash := strings.CutSuffix(root, "/")
	switch {
	case !filepath.IsAbs(root):
		return complain(`It must begin with an absolute directory that is written out, as in "/srv/mail/${maildrop}".`)
	case !slash:
		return complain("What precedes the first ${ is the root of the store, and must end with a slash.")
	case clean == "" || filepath.Clean(clean) != clean:
		return complain(`The root of the store must be below "/", and have no empty, "." or ".." component.`)
	}
	m.Root, m.funcs = clean, e.funcs
	m.path = &hclsyntax.TemplateExpr{Parts: t.Parts[1:], SrcRange: t.SrcRange}
	return nil
}

// Invertible reports whether NameOf can tell the name of a maildrop: the path
// has ${maildrop} once, as it is.
func (m *Maildrop) Invertible() bool {
	_, _, ok := m.around()
	return ok
}

// NameOf returns the name of the maildrop at a path below Root. ok is false
// where none is there.
func (m *Maildrop) NameOf(rel string) (name string, ok bool) {
	before, after, ok := m.around()
	name, isBefore := strings.CutPrefix(rel, before)
	name, isAfter := strings.CutSuffix(name, after)
	if !ok || !isBefore || !isAfter {
		return "", false
	}
	path, err := m.RelPath(name)
	return name, err == nil && path == rel
}

// around returns what is before and behind the only ${maildrop} of the path.
func (m *Maildrop) around() (before, after string, ok bool) {
	t, isTemplate := m.path.(*hclsyntax.TemplateExpr)
	if !isTemplate {
		return "", "", false
	}
	for _, part := range t.Parts {
		switch e := part.(type) {
		case *hclsyntax.LiteralValueExpr:
			if e.Val.Type() != cty.String {
				return "", "", false
			}
			if text := e.Val.AsString(); ok {
				after += text
			} else {
				before += text
			}
		case *hclsyntax.ScopeTraversalExpr: // maildrop is the only variable here
			if ok || len(e.Traversal) != 1 {
				return "", "", false
			}
			ok = true
		default:
			return "", "", false
		}
	}
	return before, after, ok
}

// RelPath returns the path, below Root, of the maildrop called name, which has
// to be what [Account.MaildropName] would accept. Where it names a folder, that
// is in its owner's Maildir. The result is clean, and
// local as [filepath.IsLocal] says; else the error is [ErrName].
func (m *Maildrop) RelPath(name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	owner, folder, ok := m.folderOf(name)
	if !ok {
		return m.relPath(name)
	}
	dir, err := folderDir(folder)
	if err != nil {
		return "", err
	}
	rel, err := m.relPath(owner)
	return gopath.Join(rel, dir), err
}

func (m *Maildrop) relPath(name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	vars := map[string]cty.Value{"maildrop": cty.StringVal(name)}
	rel, err := evaluateText(m.path, &hcl.EvalContext{Variables: vars, Functions: m.funcs})
	if err != nil {
		return "", err
	}
	if !filepath.IsLocal(rel) || gopath.Clean(rel) != rel || rel == "." {
		return "", fmt.Errorf("%w: its path is not below the root", ErrName)
	}
	return rel, checkName(rel)
}
