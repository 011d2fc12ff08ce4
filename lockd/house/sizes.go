package house

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The limits of the style guide, in lines and columns. A tab is one column: how
// wide it looks is the reader's choice.
const (
	maxFileLines     = 600
	maxTestFileLines = 900
	maxFuncLines     = 70
	maxDispatchLines = 120
	maxColumns       = 100
	// maxDispatchFrame is how many lines of a dispatcher may stand round its
	// switch.
	maxDispatchFrame = 12
)

// Ratchet holds the sizes of what was too large once, by name: a path, or
// path:function. Nothing may pass its entry, and an entry goes once its thing
// is within the limit.
type Ratchet map[string]int

// ParseRatchet reads lines of "name size"; empty lines and lines that begin
// with # are skipped. The error names the line.
func ParseRatchet(text string) (Ratchet, error) {
	r := Ratchet{}
	for i, line := range splitLines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 2 {
			return nil, fmt.Errorf("house: ratchet line %d: want \"name size\", got %q", i+1, line)
		}
		size, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, fmt.Errorf("house: ratchet line %d: size: %w", i+1, err)
		}
		r[fields[0]] = size
	}
	return r, nil
}

// sizes checks files, functions and lines against the limits and the ratchet.
func (c *checker) sizes(excess Ratchet) {
	used := map[string]bool{}
	// over reports a size above its limit, or above its entry of the ratchet.
	over := func(f *file, line int, name string, size, limit int, what string) {
		if size <= limit {
			return
		}
		used[name] = true
		known := excess[name]
		if size > known {
			c.atLine(f, line, "size", "%s of %d lines, limit %d: split by noun, never by number",
				what, size, max(limit, known))
		}
	}
	for _, f := range c.tree.files {
		limit := maxFileLines
		if f.test {
			limit = maxTestFileLines
		}
		over(f, 1, f.path, len(f.lines), limit, "file")
		f.funcs(func(d *ast.FuncDecl) {
			size := c.funcLines(f, d)
			limit := maxFuncLines
			if c.isDispatcher(d) {
				limit = maxDispatchLines
			}
			name := f.path + ":" + funcName(d)
			over(f, c.tree.line(d.Pos()), name, size, limit, "function")
		})
		c.columns(f)
	}
	var stale []string
	for name := range excess {
		if !used[name] {
			stale = append(stale, name)
		}
	}
	slices.Sort(stale)
	for _, name := range stale {
		c.findings = append(c.findings, Finding{
			File: "testdata/house/ratchet.txt",
			Line: 1,
			Rule: "size",
			Text: name + " is within its limit or gone: remove its entry",
		})
	}
}

// funcName is a function's name with its receiver, as in Writer.Flush.
func funcName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	return receiverName(d) + "." + d.Name.Name
}

// funcLines counts a function's lines. In a test the tables it declares are
// data, not code, and do not count.
func (c *checker) funcLines(f *file, d *ast.FuncDecl) int {
	lines := c.tree.line(d.End()) - c.tree.line(d.Pos()) + 1
	if !f.test {
		return lines
	}
	ast.Inspect(d.Body, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		lines -= c.tree.line(literal.End()) - c.tree.line(literal.Pos())
		return false
	})
	return lines
}

// isDispatcher says whether a function is one switch whose every case is one
// statement, with little round it.
func (c *checker) isDispatcher(d *ast.FuncDecl) bool {
	for _, statement := range d.Body.List {
		var body *ast.BlockStmt
		switch s := statement.(type) {
		case *ast.SwitchStmt:
			body = s.Body
		case *ast.TypeSwitchStmt:
			body = s.Body
		default:
			continue
		}
		inside := c.tree.line(body.End()) - c.tree.line(body.Pos()) + 1
		whole := c.tree.line(d.End()) - c.tree.line(d.Pos()) + 1
		return whole-inside <= maxDispatchFrame && everyCaseIsOneCall(body)
	}
	return false
}

func everyCaseIsOneCall(body *ast.BlockStmt) bool {
	for _, statement := range body.List {
		clause, ok := statement.(*ast.CaseClause)
		if !ok || len(clause.Body) > 1 {
			return false
		}
		if len(clause.Body) == 1 && !isOneCall(clause.Body[0]) {
			return false
		}
	}
	return true
}

// isOneCall accepts f(x), return f(x), a = f(x), and a bare return of names or
// literals.
func isOneCall(statement ast.Stmt) bool {
	switch s := statement.(type) {
	case *ast.ExprStmt:
		_, ok := s.X.(*ast.CallExpr)
		return ok
	case *ast.AssignStmt:
		if len(s.Rhs) != 1 {
			return false
		}
		_, ok := s.Rhs[0].(*ast.CallExpr)
		return ok
	case *ast.ReturnStmt:
		return true
	}
	return false
}

// columns checks the width of lines. Directives and addresses cannot be broken.
func (c *checker) columns(f *file) {
	for i, line := range f.lines {
		width := utf8.RuneCountInString(line)
		if width <= maxColumns || strings.Contains(line, "://") || strings.HasPrefix(line, "//go:") {
			continue
		}
		c.atLine(f, i+1, "size", "line of %d columns, limit %d", width, maxColumns)
	}
}
