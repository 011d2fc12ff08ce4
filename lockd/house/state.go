package house

import (
	"go/ast"
	"go/token"
	"path"
	"strconv"
	"strings"
)

// inits checks that a file has no init function.
func (c *checker) inits(f *file) {
	f.funcs(func(d *ast.FuncDecl) {
		if d.Name.Name == "init" && d.Recv == nil {
			c.at(f, d.Pos(), "state", "no init: do it in a constructor that main calls")
		}
	})
}

// variables checks that nothing in a package writes to a package variable, and
// that none has a type that exists to be changed. Planted bugs are switched on
// from outside, in plant_on.go.
func (c *checker) variables(p *pkg) {
	globals := map[string]bool{}
	for _, f := range p.files {
		if path.Base(f.path) == "plant_on.go" {
			continue
		}
		f.globals(func(s *ast.ValueSpec) {
			for _, name := range s.Names {
				if name.Name != "_" {
					globals[name.Name] = true
				}
			}
			if changeable(s.Type) {
				c.at(f, s.Pos(), "state", "%s is a mutable package variable: make it a field of "+
					"the type that owns it", s.Names[0].Name)
			}
		})
	}
	if len(globals) == 0 {
		return
	}
	for _, f := range p.files {
		f.funcs(func(d *ast.FuncDecl) { c.writes(f, d, globals) })
	}
}

// changeable says whether a type from sync or sync/atomic is declared.
func changeable(expr ast.Expr) bool {
	if index, ok := expr.(*ast.IndexExpr); ok {
		expr = index.X
	}
	sel, ok := expr.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	ident, ok := sel.X.(*ast.Ident)
	return ok && (ident.Name == "sync" || ident.Name == "atomic")
}

// writes reports assignments to package variables inside a function. A local
// variable of the same name hides the global.
func (c *checker) writes(f *file, d *ast.FuncDecl, globals map[string]bool) {
	local := localNames(d)
	report := func(expr ast.Expr) {
		name := rootName(expr)
		if name != "" && globals[name] && !local[name] {
			c.at(f, expr.Pos(), "state",
				"writes package variable %s: make it a field of the type that owns it", name)
		}
	}
	ast.Inspect(d.Body, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			if x.Tok != token.DEFINE {
				for _, left := range x.Lhs {
					report(left)
				}
			}
		case *ast.IncDecStmt:
			report(x.X)
		case *ast.UnaryExpr:
			if x.Op == token.AND {
				report(x.X)
			}
		}
		return true
	})
}

// localNames collects every name a function declares, parameters included.
func localNames(d *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(d, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.Field:
			for _, name := range x.Names {
				names[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range x.Names {
				names[name.Name] = true
			}
		case *ast.AssignStmt:
			if x.Tok == token.DEFINE {
				addNames(names, x.Lhs...)
			}
		case *ast.RangeStmt:
			if x.Tok == token.DEFINE {
				addNames(names, x.Key, x.Value)
			}
		}
		return true
	})
	return names
}

func addNames(names map[string]bool, exprs ...ast.Expr) {
	for _, expr := range exprs {
		if ident, ok := expr.(*ast.Ident); ok {
			names[ident.Name] = true
		}
	}
}

// rootName is the variable that an assignable expression starts from, or "".
func rootName(expr ast.Expr) string {
	for {
		switch x := expr.(type) {
		case *ast.Ident:
			return x.Name
		case *ast.SelectorExpr:
			expr = x.X
		case *ast.IndexExpr:
			expr = x.X
		case *ast.ParenExpr:
			expr = x.X
		case *ast.StarExpr:
			expr = x.X
		default:
			return ""
		}
	}
}

// signatures checks declarations for functional options and bool parameters.
func (c *checker) signatures(f *file) {
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		s, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		_, isFunc := s.Type.(*ast.FuncType)
		name := s.Name.Name
		if isFunc && (strings.HasSuffix(name, "Option") || strings.HasSuffix(name, "Opt")) {
			c.at(f, s.Pos(), "signature", "no functional options: an Options struct with a "+
				"comment per field")
		}
		return true
	})
	for _, decl := range f.syntax.Decls {
		d, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		for _, field := range d.Type.Params.List {
			if ident, ok := field.Type.(*ast.Ident); ok && ident.Name == "bool" {
				c.at(f, field.Pos(), "signature", "%s takes a bool: two functions, or a named "+
					"type whose values say what they mean", d.Name.Name)
			}
		}
	}
}

// errorTexts checks that texts of panics, and of the sentinels that others can
// see, begin with the package.
func (c *checker) errorTexts(f *file) {
	name := f.syntax.Name.Name
	if name == "main" {
		return
	}
	f.globals(func(s *ast.ValueSpec) {
		for i, value := range s.Values {
			call, ok := value.(*ast.CallExpr)
			if !ok || !isCall(call, "errors", "New") || len(call.Args) != 1 {
				continue
			}
			if i >= len(s.Names) {
				continue
			}
			sentinel := s.Names[i]
			if !strings.HasPrefix(strings.ToLower(sentinel.Name), "err") {
				c.at(f, sentinel.Pos(), "error", "a sentinel is called ErrX; got %s", sentinel.Name)
			}
			if sentinel.IsExported() {
				c.prefixed(f, call.Args[0], name)
			}
		}
	})
	f.funcs(func(d *ast.FuncDecl) {
		ast.Inspect(d.Body, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			if ident, ok := call.Fun.(*ast.Ident); ok && ident.Name == "panic" {
				c.prefixed(f, call.Args[0], name)
			}
			return true
		})
	})
}

// prefixed checks a literal text, or the format of fmt.Sprintf, for the package
// name in front.
func (c *checker) prefixed(f *file, expr ast.Expr, pkgName string) {
	if call, ok := expr.(*ast.CallExpr); ok && len(call.Args) > 0 &&
		(isCall(call, "fmt", "Sprintf") || isCall(call, "fmt", "Sprint")) {
		expr = call.Args[0]
	}
	for {
		sum, ok := expr.(*ast.BinaryExpr)
		if !ok {
			break
		}
		expr = sum.X
	}
	literal, ok := expr.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		return
	}
	if !strings.HasPrefix(text, pkgName+": ") && !strings.HasPrefix(text, pkgName+".") {
		c.at(f, literal.Pos(), "error", "begin the text with %q", pkgName+": ")
	}
}
