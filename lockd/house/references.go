package house

import (
	"go/ast"
	"go/build/constraint"
	"path"
	"regexp"
	"slices"
	"strings"
)

// reference names something that is declared in a file or a directory.
type reference struct {
	place, name string
}

// String is how a document writes it.
func (r reference) String() string { return r.place + ":" + r.name }

// declared is what the name of a reference may be.
var declared = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// names returns the references of a cell to what is declared.
func names(cell string) []reference {
	var all []reference
	for _, word := range words(cell) {
		place, name, found := strings.Cut(word, ":")
		if found && declared.MatchString(name) && !strings.Contains(place, " ") {
			all = append(all, reference{place, name})
		}
	}
	return all
}

// references checks that what the lines of a document name exists: declarations,
// files and directories, and the targets of make.
func (c *checker) references(f *file) {
	for i, line := range f.lines {
		for _, ref := range names(line) {
			if len(c.tree.declaring(ref)) == 0 {
				c.atLine(f, i+1, "reliability", "there is no %s", ref)
			}
		}
		for _, word := range words(line) {
			switch {
			case strings.HasPrefix(word, "make "):
				if target := strings.Fields(word)[1]; !c.tree.hasTarget(target) {
					c.atLine(f, i+1, "reliability", "make has no target %s", target)
				}
			case strings.ContainsAny(word, ": ") || !isPath(word):
			case !c.tree.holds(word):
				c.atLine(f, i+1, "reliability", "there is no %s", word)
			}
		}
	}
}

// isPath says whether a word of a document is meant to be a file or a directory.
func isPath(word string) bool {
	return strings.Contains(word, "/") ||
		slices.Contains([]string{".go", ".md", ".pml"}, path.Ext(word))
}

// holds says whether the tree has a file of that path, or files below it.
func (t *Tree) holds(name string) bool {
	at := func(f *file) bool { return f.path == name || under(f.dir, name) }
	return slices.ContainsFunc(t.files, at) || slices.ContainsFunc(t.texts, at)
}

// text returns a document, nil if the tree has none of that path.
func (t *Tree) text(name string) *file {
	i := slices.IndexFunc(t.texts, func(f *file) bool { return f.path == name })
	if i < 0 {
		return nil
	}
	return t.texts[i]
}

// hasTarget says whether the Makefile has a target.
func (t *Tree) hasTarget(target string) bool {
	f := t.text("Makefile")
	return f != nil && slices.ContainsFunc(f.lines, func(line string) bool {
		return strings.HasPrefix(line, target+":")
	})
}

// simulatedRows lists the rows of the fault matrix that the simulator counts.
func (t *Tree) simulatedRows() []string {
	var ids []string
	i := slices.IndexFunc(t.files, func(f *file) bool { return f.path == rowsFile })
	if i < 0 {
		return nil
	}
	ast.Inspect(t.files[i].syntax, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok {
			if id := strings.Trim(lit.Value, `"`); rowID.MatchString(id) {
				ids = append(ids, id)
			}
		}
		return true
	})
	return ids
}

// declaring lists the files at a place that declare a name: a function, a
// method as Type.Method, a type, a constant or a variable.
func (t *Tree) declaring(ref reference) []*file {
	var all []*file
	for _, f := range t.files {
		if (f.path == ref.place || f.dir == ref.place) && f.declares(ref.name) {
			all = append(all, f)
		}
	}
	return all
}

func (f *file) declares(name string) bool {
	return slices.ContainsFunc(f.syntax.Decls, func(decl ast.Decl) bool {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv != nil {
				return receiverName(d)+"."+d.Name.Name == name
			}
			return d.Name.Name == name
		case *ast.GenDecl:
			return slices.ContainsFunc(d.Specs, func(spec ast.Spec) bool {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					return s.Name.Name == name
				case *ast.ValueSpec:
					return slices.ContainsFunc(s.Names, func(n *ast.Ident) bool {
						return n.Name == name
					})
				}
				return false
			})
		}
		return false
	})
}

// testRun is a command of the form go test -tags T -run R ./packages.
type testRun struct {
	dirs []string // "x/..." stands for x and what lies below it
	tags []string
	run  *regexp.Regexp
}

// commands reads the test runs of a row and checks that each runs something.
func (c *checker) commands(f *file, row idRow) []testRun {
	var runs []testRun
	for _, word := range words(row.cells[cellCommand]) {
		fields := strings.Fields(word)
		if len(fields) < 2 || fields[0] != "go" || fields[1] != "test" {
			continue
		}
		r := testRun{run: regexp.MustCompile("")}
		for i, field := range fields {
			switch {
			case strings.HasPrefix(field, "./"):
				r.dirs = append(r.dirs, strings.TrimPrefix(field, "./"))
			case field == "-tags" && i+1 < len(fields):
				r.tags = strings.Split(fields[i+1], ",")
			case field == "-run" && i+1 < len(fields):
				pattern, err := regexp.Compile(strings.Trim(fields[i+1], "'"))
				if err == nil {
					r.run = pattern
				}
			}
		}
		if !r.runsAny(c.tree) {
			c.atLine(f, row.line, "reliability", "%s: %q runs no test", row.id, word)
		}
		runs = append(runs, r)
	}
	return runs
}

// includes says whether a file is compiled into the tests of a run.
func (r *testRun) includes(f *file) bool {
	in := slices.ContainsFunc(r.dirs, func(dir string) bool {
		root, deep := strings.CutSuffix(dir, "/...")
		return f.dir == root || deep && under(f.dir, root)
	})
	if !in || !f.test {
		return false
	}
	for _, line := range f.lines {
		if strings.HasPrefix(line, "package ") {
			break
		}
		if expr, err := constraint.Parse(line); err == nil {
			return expr.Eval(func(tag string) bool {
				return tag == "linux" || tag == "unix" || slices.Contains(r.tags, tag)
			})
		}
	}
	return true
}

// runsAny says whether a run has any test at all.
func (r *testRun) runsAny(t *Tree) bool {
	return slices.ContainsFunc(t.files, func(f *file) bool {
		found := false
		if r.includes(f) {
			f.funcs(func(d *ast.FuncDecl) { found = found || r.matches(d.Name.Name) })
		}
		return found
	})
}

// matches says whether a run picks a test by its name.
func (r *testRun) matches(name string) bool {
	return (strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz")) &&
		r.run.MatchString(name)
}

// covers says whether a run runs a test.
func (r testRun) covers(t *Tree, test reference) bool {
	return r.matches(test.name) &&
		slices.ContainsFunc(t.declaring(test), func(f *file) bool { return r.includes(f) })
}
