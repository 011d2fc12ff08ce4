package house

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// packageName is what a package may be called: one noun.
var packageName = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// vagueNames say where code lies and not what it is.
func vagueNames() []string {
	return []string{
		"util", "utils", "common", "types", "base", "helper", "helpers", "misc", "lib"}
}

// packageComment checks a package's name and that its comment stands in doc.go;
// a command may keep it in main.go.
func (c *checker) packageComment(p *pkg) {
	first := p.files[0]
	if slices.Contains(vagueNames(), p.name) || !packageName.MatchString(p.name) {
		c.at(first, first.syntax.Package, "package",
			"package %s: a package name is one lowercase noun that says what it holds", p.name)
	}
	var with *file
	for _, f := range p.files {
		if f.syntax.Doc == nil {
			continue
		}
		base := path.Base(f.path)
		if base != "doc.go" && (p.name != "main" || base != "main.go") {
			c.at(f, f.syntax.Doc.Pos(), "package", "the package comment belongs in doc.go")
		}
		with = f
	}
	switch {
	case with == nil:
		c.at(first, first.syntax.Package, "package", "package %s has no comment: write doc.go: "+
			"what it decides or owns, its invariants by name, who may call it", p.name)
	case p.name != "main" &&
		!strings.HasPrefix(with.syntax.Doc.Text(), "Package "+p.name+" "):
		c.at(with, with.syntax.Doc.Pos(), "package", "begin the comment with %q",
			"Package "+p.name+" ")
	}
}

// exported checks that exported identifiers have a comment. Commands export
// nothing.
func (c *checker) exported(f *file) {
	if f.syntax.Name.Name == "main" {
		return
	}
	for _, decl := range f.syntax.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			c.exportedFunc(f, d)
		case *ast.GenDecl:
			c.exportedGroup(f, d)
		}
	}
}

// exportedFunc checks a function or method.
func (c *checker) exportedFunc(f *file, d *ast.FuncDecl) {
	wellKnown := []string{
		"String", "Error", "Unwrap", "Is", "Len", "Less", "Swap", "Push", "Pop"}
	if d.Doc != nil || !d.Name.IsExported() {
		return
	}
	if d.Recv == nil {
		c.undocumented(f, d.Name)
		return
	}
	if ast.IsExported(receiverName(d)) && !slices.Contains(wellKnown, d.Name.Name) {
		c.undocumented(f, d.Name)
	}
}

// receiverName is the name of the type that a method belongs to.
func receiverName(d *ast.FuncDecl) string {
	expr := d.Recv.List[0].Type
	for {
		switch x := expr.(type) {
		case *ast.StarExpr:
			expr = x.X
		case *ast.IndexExpr:
			expr = x.X
		case *ast.IndexListExpr:
			expr = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// exportedGroup checks types, constants and variables. A comment on a group or
// on the line covers them.
func (c *checker) exportedGroup(f *file, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if !s.Name.IsExported() {
				continue
			}
			if s.Doc == nil && s.Comment == nil && (d.Doc == nil || d.Lparen.IsValid()) {
				c.undocumented(f, s.Name)
			}
			doc := s.Doc
			if doc == nil {
				doc = d.Doc
			}
			c.exportedFields(f, s, doc)
		case *ast.ValueSpec:
			if d.Doc != nil || s.Doc != nil || s.Comment != nil {
				continue
			}
			for _, name := range s.Names {
				if name.IsExported() {
					c.undocumented(f, name)
				}
			}
		}
	}
}

// exportedFields checks the methods of an interface and the fields of a struct
// that someone fills in by hand; the fields of other structs may be clear from
// the type's own comment. A comment covers what follows it up to the next blank
// line.
func (c *checker) exportedFields(f *file, s *ast.TypeSpec, doc *ast.CommentGroup) {
	var fields *ast.FieldList
	about := "" // an interface's own comment may explain its methods by name
	switch t := s.Type.(type) {
	case *ast.StructType:
		fields = t.Fields
		if !isSettings(s.Name.Name) {
			return
		}
	case *ast.InterfaceType:
		fields = t.Methods
		about = doc.Text()
	default:
		return
	}
	covered, lastLine := false, -1
	for _, field := range fields.List {
		start := c.tree.line(field.Pos())
		if field.Doc != nil {
			start = c.tree.line(field.Doc.Pos())
		}
		if start > lastLine+1 {
			covered = false
		}
		lastLine = c.tree.line(field.End())
		covered = covered || field.Doc != nil || field.Comment != nil
		if covered || len(field.Names) == 0 {
			continue
		}
		name := field.Names[0]
		if name.IsExported() && !strings.Contains(about, name.Name) {
			c.undocumented(f, name)
		}
	}
}

// isSettings says whether a struct is filled in by whoever configures.
func isSettings(name string) bool {
	for _, suffix := range []string{"Options", "Config", "Limits", "Settings"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

func (c *checker) undocumented(f *file, name *ast.Ident) {
	c.at(f, name.Pos(), "exported", "%s needs a comment: what it means, its unit and bounds, "+
		"its errors", name.Name)
}

// inMainOrLoop says whether goroutines may start in a file.
func inMainOrLoop(f *file) bool {
	base := path.Base(f.path)
	return base == "main.go" || base == "loop.go" || strings.HasPrefix(base, "loop_")
}

// funcs calls visit for every function declaration with a body.
func (f *file) funcs(visit func(*ast.FuncDecl)) {
	for _, decl := range f.syntax.Decls {
		if d, ok := decl.(*ast.FuncDecl); ok && d.Body != nil {
			visit(d)
		}
	}
}

// globals calls visit for every package variable.
func (f *file) globals(visit func(*ast.ValueSpec)) {
	for _, decl := range f.syntax.Decls {
		d, ok := decl.(*ast.GenDecl)
		if !ok || d.Tok != token.VAR {
			continue
		}
		for _, spec := range d.Specs {
			visit(spec.(*ast.ValueSpec))
		}
	}
}
