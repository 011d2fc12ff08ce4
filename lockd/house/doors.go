package house

import (
	"slices"
	"strings"
)

// door names the one package that may import an outside module.
type door struct {
	module string
	dir    string
}

// doors lists the modules whose door is settled. Any other module belongs to
// the first package that imports it.
func doors() []door {
	return []door{
		{"github.com/cockroachdb/pebble/v2", "lockfsm/checkpoint"},
		{"github.com/panjf2000/gnet/v2", "netio"},
		{"github.com/valyala/fastjson", "lockd/admin"},
		{"github.com/BurntSushi/toml", "lockd/config"},
		{"github.com/prometheus/client_golang", "lockd/admin"},
		{"golang.org/x/sys", "wal/disk"},
		{"github.com/anishathalye/porcupine", "lockd/faulttest/history"},
	}
}

// testModules are for tests and for the packages that exist for tests; they
// have no door.
func testModules() []string {
	return []string{"github.com/cockroachdb/datadriven"}
}

// doors checks that every outside module is imported by one package.
func (c *checker) doors() {
	owner := map[string]string{}
	for _, d := range doors() {
		owner[d.module] = d.dir
	}
	for _, f := range c.tree.files {
		if f.test {
			continue
		}
		for _, spec := range f.syntax.Imports {
			name := importPath(spec)
			if !outside(name) {
				continue
			}
			root, module := c.tree.moduleOf(f.dir, name)
			if slices.Contains(testModules(), module) {
				if !forTests(f.dir) {
					c.at(f, spec.Pos(), "door", "%s is for tests: import it in a _test.go file",
						module)
				}
				continue
			}
			key := module
			if root != "." {
				key = root + " " + module // a nested module has doors of its own
			}
			if owner[key] == "" {
				owner[key] = f.dir
			}
			if owner[key] != f.dir {
				c.at(f, spec.Pos(), "door", "%s enters the house through %s only; "+
					"ask that package for what you need", module, owner[key])
			}
		}
	}
}

// moduleOf finds the nested module's directory that governs dir ("." for the
// root) and the required module that provides an import.
func (t *Tree) moduleOf(dir, importPath string) (root, module string) {
	root = "."
	for at := range t.modules { // order: the longest match wins, and it is one
		if at != "." && under(dir, at) && len(at) >= len(root) {
			root = at
		}
	}
	for _, required := range t.modules[root] {
		if under(importPath, required) && len(required) > len(module) {
			module = required
		}
	}
	if module == "" {
		parts := strings.SplitN(importPath, "/", 4)
		module = strings.Join(parts[:min(3, len(parts))], "/")
	}
	return root, module
}
