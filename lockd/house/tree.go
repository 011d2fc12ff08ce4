package house

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// modulePath is the path of the repository's module. A nested module's path is
// this one followed by its directory, so the import path of every directory
// follows from its place.
const modulePath = "lockd"

// Tree is the parsed repository. It is read-only once loaded.
type Tree struct {
	fset *token.FileSet
	// files are the Go files in the order of their paths.
	files []*file
	// texts are the documents and scripts that some rules read as well.
	texts []*file
	// mutants is the list of rules that are taken out to see tests fail, nil if
	// there is none.
	mutants *file
	// modules maps the directory of each go.mod ("." for the root) to the module
	// paths it requires.
	modules map[string][]string
	// broken holds what did not parse.
	broken []Finding
}

// file is one file of the tree.
type file struct {
	path   string // from the root, with slashes
	dir    string
	lines  []string
	syntax *ast.File // nil for a text
	test   bool      // named _test.go
}

// Load parses every Go file under the root of fsys, except testdata, hidden
// directories and what make builds. A file that does not parse becomes a
// finding of Check, not an error.
func Load(fsys fs.FS) (*Tree, error) {
	t := &Tree{fset: token.NewFileSet(), modules: map[string][]string{}}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("house: walk %s: %w", name, err)
		}
		if entry.IsDir() {
			if skipDir(name) {
				return fs.SkipDir
			}
			return nil
		}
		return t.add(fsys, name)
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func skipDir(name string) bool {
	base := path.Base(name)
	if name == "." {
		return false
	}
	return strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") ||
		slices.Contains([]string{"testdata", "bin", "vendor", "node_modules"}, base)
}

// add reads one file if a rule may want it.
func (t *Tree) add(fsys fs.FS, name string) error {
	isGo := strings.HasSuffix(name, ".go")
	isText := strings.HasSuffix(name, ".md") || path.Base(name) == "Makefile" ||
		strings.HasSuffix(name, ".pml")
	isMod := path.Base(name) == "go.mod"
	isMutants := name == mutantsFile
	if !isGo && !isText && !isMod && !isMutants {
		return nil
	}
	src, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since the directory was listed
	}
	if err != nil {
		return fmt.Errorf("house: read %s: %w", name, err)
	}
	f := &file{path: name, dir: path.Dir(name), lines: splitLines(string(src))}
	switch {
	case isMod:
		t.modules[f.dir] = requires(f.lines)
		return nil
	case isMutants:
		t.mutants = f
		return nil
	case isText:
		t.texts = append(t.texts, f)
		return nil
	}
	f.test = strings.HasSuffix(name, "_test.go")
	const mode = parser.ParseComments | parser.SkipObjectResolution
	f.syntax, err = parser.ParseFile(t.fset, name, src, mode)
	if err != nil {
		t.broken = append(t.broken, brokenFile(name, err))
		return nil
	}
	t.files = append(t.files, f)
	return nil
}

// brokenFile is the finding for a file that does not parse.
func brokenFile(name string, err error) Finding {
	found := Finding{File: name, Line: 1, Rule: "parse", Text: err.Error()}
	var list scanner.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		found.Line, found.Text = list[0].Pos.Line, list[0].Msg
	}
	return found
}

// splitLines cuts a text into lines without their ends.
func splitLines(text string) []string {
	lines := strings.Split(text, "\n")
	if n := len(lines); n > 0 && lines[n-1] == "" {
		lines = lines[:n-1]
	}
	return lines
}

// requires lists the module paths that a go.mod requires.
func requires(lines []string) []string {
	var paths []string
	inside := false
	for _, line := range lines {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == ")":
			inside = false
		case fields[0] == "require" && len(fields) > 1 && fields[1] == "(":
			inside = true
		case fields[0] == "require" && len(fields) > 2:
			paths = append(paths, fields[1])
		case inside && len(fields) > 1:
			paths = append(paths, fields[0])
		}
	}
	return paths
}

// line is the line of a position.
func (t *Tree) line(pos token.Pos) int { return t.fset.Position(pos).Line }

// packages groups the files that are not tests by directory, in order of path.
func (t *Tree) packages() []*pkg {
	var list []*pkg
	byDir := map[string]*pkg{}
	for _, f := range t.files {
		if f.test {
			continue
		}
		p := byDir[f.dir]
		if p == nil {
			p = &pkg{dir: f.dir, name: f.syntax.Name.Name}
			byDir[f.dir] = p
			list = append(list, p)
		}
		p.files = append(p.files, f)
	}
	return list
}

// pkg is one directory's package without its tests.
type pkg struct {
	dir   string
	name  string
	files []*file
}

// under says whether dir is root or lies below it.
func under(dir, root string) bool {
	return dir == root || strings.HasPrefix(dir, root+"/")
}

// importPath is the path of an import, without quotes.
func importPath(spec *ast.ImportSpec) string {
	return strings.Trim(spec.Path.Value, "`\"")
}

// ours is the directory of an import from this repository, or "" for others.
func ours(importPath string) string {
	dir, found := strings.CutPrefix(importPath, modulePath+"/")
	if !found {
		return ""
	}
	return dir
}

// outside says whether an import is neither ours nor the standard library's.
func outside(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return strings.Contains(first, ".")
}
