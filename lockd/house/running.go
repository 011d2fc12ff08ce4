package house

import (
	"go/ast"
	"slices"
)

// goroutines checks that only loop.go and main.go start goroutines, and that
// pure code and the node wait in a select nowhere else.
func (c *checker) goroutines(f *file) {
	if f.test || inMainOrLoop(f) {
		return
	}
	stepped := slices.Contains(purePackages(), f.dir) || f.dir == "lockd/node"
	const where = "move it to loop.go: a loop says who starts it, what wakes it, what bounds a " +
		"round, who stops it"
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.GoStmt:
			c.at(f, x.Pos(), "goroutine", "go statement; %s", where)
		case *ast.SelectStmt:
			if stepped && blocks(x) {
				c.at(f, x.Pos(), "goroutine", "select statement; %s", where)
			}
		case *ast.CallExpr:
			if isGoCall(x) {
				c.at(f, x.Pos(), "goroutine", "this call starts a goroutine; %s", where)
			}
		}
		return true
	})
}

// blocks says whether a select has no default.
func blocks(s *ast.SelectStmt) bool {
	for _, statement := range s.Body.List {
		if clause, ok := statement.(*ast.CommClause); ok && clause.Comm == nil {
			return false
		}
	}
	return true
}

// isGoCall recognises the calls that hide a go statement: WaitGroup.Go,
// errgroup's Go and time.AfterFunc.
func isGoCall(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	if sel.Sel.Name == "Go" && len(call.Args) == 1 {
		_, literal := call.Args[0].(*ast.FuncLit)
		return literal
	}
	return isCall(call, "time", "AfterFunc")
}

// isCall says whether a call names a function of a standard package.
func isCall(call *ast.CallExpr, pkg, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	ident, ok := sel.X.(*ast.Ident)
	return ok && ident.Name == pkg
}

// sleeps checks that tests wait for events. Under testing/synctest time is
// virtual; tests of real processes may need real time.
func (c *checker) sleeps(f *file) {
	if !f.test || under(f.dir, "lockd/faulttest") {
		return
	}
	for _, spec := range f.syntax.Imports {
		if importPath(spec) == "testing/synctest" {
			return
		}
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && isCall(call, "time", "Sleep") {
			c.at(f, call.Pos(), "sleep", "wait for the event itself: a channel, a condition, or "+
				"testing/synctest")
		}
		return true
	})
}

// recovers checks that nothing survives a broken invariant, except where a
// process or a simulated world ends.
func (c *checker) recovers(f *file) {
	if f.syntax.Name.Name == "main" || forTests(f.dir) || under(f.dir, "perf") {
		return
	}
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		ident, ok := call.Fun.(*ast.Ident)
		if ok && ident.Name == "recover" && len(call.Args) == 0 {
			c.at(f, call.Pos(), "recover", "a broken invariant ends the process: remove recover, "+
				"or return an error where panic stands")
		}
		return true
	})
}
