package house

import (
	"go/ast"
	"go/token"
	"go/types"
	"path"
	"slices"
	"strings"
)

// mapOrder checks, where order would reach a message, a record or an output,
// that no loop walks a map unless the function sorts afterwards, the loop only
// deletes, or a comment beginning "order:" says why the order cannot matter.
func (c *checker) mapOrder() {
	table := newTypeTable(c.tree)
	for _, p := range c.tree.packages() {
		if !slices.Contains(purePackages(), p.dir) && p.dir != "lockd/node" {
			continue
		}
		info := table.info(p.dir)
		for _, f := range p.files {
			f.funcs(func(d *ast.FuncDecl) { c.mapLoops(f, d, info) })
		}
	}
}

// mapLoops checks the loops of one function.
func (c *checker) mapLoops(f *file, d *ast.FuncDecl, info *types.Info) {
	ast.Inspect(d.Body, func(n ast.Node) bool {
		loop, ok := n.(*ast.RangeStmt)
		if !ok || !walksMap(loop.X, info) {
			return true
		}
		if onlyDeletes(loop) || sortsAfter(d, loop.Pos()) || c.saysOrder(f, loop) {
			return true
		}
		c.at(f, loop.Pos(), "order", "map order: walk slices.Sorted(maps.Keys(…)), sort what it "+
			"collects, or say why it cannot matter in a comment \"// order: …\"")
		return true
	})
}

// walksMap says whether a range expression is a map or an iterator over one.
func walksMap(expr ast.Expr, info *types.Info) bool {
	if call, ok := expr.(*ast.CallExpr); ok {
		return isCall(call, "maps", "Keys") || isCall(call, "maps", "Values") ||
			isCall(call, "maps", "All")
	}
	t := info.Types[expr].Type
	if t == nil {
		return false
	}
	_, isMap := t.Underlying().(*types.Map)
	return isMap
}

// onlyDeletes accepts a body that does nothing but delete from a map.
func onlyDeletes(loop *ast.RangeStmt) bool {
	if len(loop.Body.List) != 1 {
		return false
	}
	statement, ok := loop.Body.List[0].(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := statement.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	ident, ok := call.Fun.(*ast.Ident)
	return ok && ident.Name == "delete"
}

// sortsAfter says whether the function calls a sort below pos.
func sortsAfter(d *ast.FuncDecl, pos token.Pos) bool {
	found := false
	ast.Inspect(d.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || call.Pos() < pos {
			return true
		}
		switch fun := call.Fun.(type) {
		case *ast.SelectorExpr:
			ident, ok := fun.X.(*ast.Ident)
			found = found || ok && ident.Name == "sort" || strings.HasPrefix(fun.Sel.Name, "Sort")
		case *ast.Ident:
			found = found || strings.HasPrefix(fun.Name, "sort")
		}
		return !found
	})
	return found
}

// saysOrder looks for the comment that justifies a loop: above it, or on its
// first line.
func (c *checker) saysOrder(f *file, loop *ast.RangeStmt) bool {
	line := c.tree.line(loop.Pos())
	for _, group := range f.syntax.Comments {
		from, to := c.tree.line(group.Pos()), c.tree.line(group.End())
		if to < line-1 || from > line {
			continue
		}
		for _, comment := range group.List {
			text := strings.TrimSpace(strings.TrimLeft(comment.Text, "/*"))
			if strings.HasPrefix(text, "order: ") {
				return true
			}
		}
	}
	return false
}

// typeTable type-checks our own packages from their syntax. What they import
// from elsewhere is empty to it, and the errors that follow are ignored: only
// the shape of our own types matters here.
type typeTable struct {
	tree     *Tree
	byDir    map[string]*pkg
	packages map[string]*types.Package
	infos    map[string]*types.Info
}

func newTypeTable(t *Tree) *typeTable {
	table := &typeTable{
		tree:     t,
		byDir:    map[string]*pkg{},
		packages: map[string]*types.Package{},
		infos:    map[string]*types.Info{},
	}
	for _, p := range t.packages() {
		table.byDir[p.dir] = p
	}
	return table
}

// info is the type information of a package of ours.
func (t *typeTable) info(dir string) *types.Info {
	t.check(dir)
	return t.infos[dir]
}

// check type-checks a directory once.
func (t *typeTable) check(dir string) *types.Package {
	if done := t.packages[dir]; done != nil {
		return done
	}
	p := t.byDir[dir]
	t.packages[dir] = types.NewPackage(modulePath+"/"+dir, p.name) // for a cycle
	var syntax []*ast.File
	for _, f := range p.files {
		syntax = append(syntax, f.syntax)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	config := types.Config{Importer: t, Error: func(error) {}}
	checked, err := config.Check(modulePath+"/"+dir, t.tree.fset, syntax, info)
	if err != nil && checked == nil {
		checked = t.packages[dir]
	}
	t.packages[dir], t.infos[dir] = checked, info
	return checked
}

// Import gives the type checker a package: ours from syntax, others empty.
func (t *typeTable) Import(importPath string) (*types.Package, error) {
	if dir := ours(importPath); dir != "" && t.byDir[dir] != nil {
		return t.check(dir), nil
	}
	if empty := t.packages[importPath]; empty != nil {
		return empty, nil
	}
	empty := types.NewPackage(importPath, path.Base(strings.TrimSuffix(importPath, "/v2")))
	empty.MarkComplete()
	t.packages[importPath] = empty
	return empty, nil
}
