package house

import (
	"go/ast"
	"slices"
	"strings"
)

// floor says what one package may import from the house, tests aside. The rows
// are those of the table in the style guide; number orders them.
type floor struct {
	dir    string
	number int
	// may lists the directories it may import; "x/..." stands for x and what
	// lies below it.
	may []string
}

// floors lists the house from the ground up. A package that is not listed has
// the rights of the nearest listed one above it, and may import that one.
func floors() []floor {
	return []floor{
		{dir: "paxos/quorum", number: 0},
		{dir: "netio/wire", number: 0},
		{dir: "lockfsm", number: 0},
		{dir: "wal/disk", number: 0},
		{dir: "lockd/house", number: 0},
		{dir: "paxos", number: 1, may: []string{"paxos/quorum"}},
		{dir: "wal", number: 1, may: []string{"wal/disk/..."}},
		{dir: "lockfsm/checkpoint", number: 1, may: []string{"lockfsm"}},
		{dir: "netio", number: 1, may: []string{"netio/wire"}},
		{dir: "client", number: 1, may: []string{"netio/wire"}},
		{dir: "lockd/placement", number: 2, may: []string{"paxos"}},
		{dir: "lockd/node", number: 3, may: []string{
			"paxos/...", "lockfsm", "wal", "netio/wire", "lockd/placement"}},
		{dir: "lockd/history", number: 4, may: []string{"lockfsm", "netio/wire", "lockd/node"}},
		{dir: "client/locktest", number: 5, may: []string{
			"client", "netio/wire", "lockd/node", "lockd/history", "lockd/placement", "lockfsm",
			"paxos", "wal"}},
		{dir: "lockd/config", number: 5, may: []string{
			"paxos/...", "lockfsm/...", "wal/...", "netio/...", "client", "lockd/node",
			"lockd/history", "lockd/admin", "lockd/placement"}},
		{dir: "lockd/admin", number: 4, may: []string{
			"paxos/...", "lockfsm", "wal", "netio/wire", "client", "lockd/node",
			"lockd/placement"}},
		{dir: "lockd/verify/check", number: 0},
		{dir: "lockd/verify", number: 4, may: []string{"client", "netio/wire", "lockd/verify/..."}},
		{dir: "lockd/sim", number: 6, may: []string{
			"paxos/...", "lockfsm", "wal/...", "netio/wire", "client", "lockd/node",
			"lockd/placement", "lockd/history",
			"lockd/sim/...", "lockd/faulttest/history"}},
		{dir: "lockd/faulttest/history", number: 0},
		{dir: "lockd/faulttest/ports", number: 0},
		{dir: "lockd/faulttest", number: 6, may: []string{
			"client/...", "netio/wire", "lockd/faulttest/...", "lockd/sim/..."}},
		{dir: "perf", number: 5, may: []string{
			"client", "netio/wire", "lockd/faulttest/ports", "perf/..."}},
		{dir: "lockd", number: 6, may: []string{
			"paxos/...", "lockfsm/...", "wal/...", "netio/...", "client/...", "lockd/..."}},
	}
}

// floorOf finds the row that governs a directory: its own, or that of the
// nearest listed directory above it.
func floorOf(dir string) (floor, bool) {
	best, found := floor{}, false
	for _, row := range floors() {
		if under(dir, row.dir) && (!found || len(row.dir) > len(best.dir)) {
			best, found = row, true
		}
	}
	return best, found
}

// allows says whether a package governed by the row may import target.
func (fl floor) allows(dir, target string) bool {
	if dir != fl.dir && under(target, fl.dir) {
		return true // an unlisted part of a package may know its whole
	}
	for _, pattern := range fl.may {
		root, deep := strings.CutSuffix(pattern, "/...")
		if target == root || deep && under(target, root) {
			return true
		}
	}
	return false
}

// purePackages decide and never act: same input, same output, same bytes.
func purePackages() []string {
	return []string{"paxos", "paxos/quorum", "lockfsm", "netio/wire", "lockd/placement",
		"lockd/verify/check"}
}

// impure lists what a pure package must not import, with what to do instead.
func impure(importPath string) string {
	first, _, _ := strings.Cut(importPath, "/")
	switch first {
	case "time":
		return "count ticks, or let the caller hand in a length"
	case "os", "net", "syscall":
		return "let the caller act; return what it must do"
	case "sync", "context":
		return "the type belongs to one goroutine"
	case "log":
		return "return an event; the node writes logs"
	}
	switch importPath {
	case "math/rand", "math/rand/v2", "crypto/rand":
		return "let the caller hand in a seed"
	case "reflect", "unsafe":
		return "write the codec out"
	}
	return ""
}

// imports checks one file's imports: floors, purity, blocks and a few packages
// that have one place or none.
func (c *checker) imports(f *file) {
	for _, spec := range f.syntax.Imports {
		name := importPath(spec)
		if target := ours(name); target != "" {
			c.floor(f, spec, target)
			continue
		}
		if outside(name) {
			c.outside(f, spec, name)
			continue
		}
		c.standard(f, spec, name)
	}
	c.importBlocks(f)
}

// floor checks an import of one of our own packages. A test may import from its
// own floor as well, and from the packages that exist for tests.
func (c *checker) floor(f *file, spec *ast.ImportSpec, target string) {
	if target == f.dir {
		return // an external test of the package itself
	}
	if target == "lockd/house" || target == "lockd" {
		c.at(f, spec.Pos(), "floor", "%s is imported by nobody; move what you need down",
			target)
		return
	}
	from, known := floorOf(f.dir)
	if !known || from.allows(f.dir, target) {
		return
	}
	to, _ := floorOf(target)
	if f.test && (to.number <= from.number || strings.HasSuffix(target, "test")) {
		return
	}
	if to.number >= from.number {
		c.at(f, spec.Pos(), "floor", "%s (floor %d) imports %s (floor %d); declare a small "+
			"interface in %s and let lockd connect the two",
			f.dir, from.number, target, to.number, f.dir)
		return
	}
	c.at(f, spec.Pos(), "floor", "%s may import only %s; declare what it needs of %s as an "+
		"interface, or change the table in the style guide and lockd/house/floors.go",
		f.dir, list(from.may), target)
}

// list joins names for a message.
func list(names []string) string {
	if len(names) == 0 {
		return "nothing of the house"
	}
	return strings.Join(names, ", ")
}

// standard checks an import from the standard library.
func (c *checker) standard(f *file, spec *ast.ImportSpec, name string) {
	if f.test {
		return
	}
	if hint := impure(name); hint != "" && slices.Contains(purePackages(), f.dir) {
		c.at(f, spec.Pos(), "pure", "%s is pure and must not import %s: %s", f.dir, name, hint)
		return
	}
	switch {
	case name == "testing" && !forTests(f.dir):
		c.at(f, spec.Pos(), "import",
			"testing belongs in _test.go files and packages named …test")
	case name == "unsafe" && f.dir != "wal/disk" && !isClockFile(f):
		c.at(f, spec.Pos(), "import", "unsafe lives in wal/disk only: write the bytes explicitly")
	case name == "log":
		c.at(f, spec.Pos(), "import", "no global logger: take a *slog.Logger in the options")
	case f.dir == "lockd/node" && under(name, "net"):
		c.at(f, spec.Pos(), "import",
			"lockd/node knows no sockets: use its interface to a peer or a conn")
	}
}

// isClockFile says whether a file of client reads the boot-time clock, the one
// system call the standard library has no name for.
func isClockFile(f *file) bool {
	return f.dir == "client" && strings.Contains(f.path, "clock") ||
		f.dir == "client" && strings.Contains(f.path, "boottime")
}

// outside checks an import of another project's module. Which package is the
// door is for doors to say.
func (c *checker) outside(f *file, spec *ast.ImportSpec, name string) {
	for _, assertion := range []string{"github.com/stretchr/testify", "gotest.tools",
		"github.com/onsi/gomega", "github.com/matryer/is"} {
		if strings.HasPrefix(name, assertion) {
			c.at(f, spec.Pos(), "import", "no assertion library: if got != want { t.Errorf(…) }")
			return
		}
	}
	if f.test {
		return
	}
	if under(f.dir, "client") || slices.Contains(purePackages(), f.dir) {
		c.at(f, spec.Pos(), "door", "%s uses the standard library only; found %s", f.dir, name)
	}
}

// importBlocks checks that a file's imports stand in three blocks: standard,
// outside, ours.
func (c *checker) importBlocks(f *file) {
	last, lastLine := 0, 0
	for i, spec := range f.syntax.Imports {
		class, line := importClass(importPath(spec)), c.tree.line(spec.Pos())
		start := line
		if spec.Doc != nil {
			start = c.tree.line(spec.Doc.Pos())
		}
		sameBlock := i > 0 && start == lastLine+1
		if i > 0 && (class < last || sameBlock && class != last || !sameBlock && class == last) {
			c.at(f, spec.Pos(), "import",
				"three blocks in this order, one blank line between: standard, outside, ours")
			return
		}
		last, lastLine = class, line
	}
}

func importClass(name string) int {
	switch {
	case ours(name) != "":
		return 3
	case outside(name):
		return 2
	}
	return 1
}

// forTests says whether a directory exists for tests only.
func forTests(dir string) bool {
	return strings.HasSuffix(dir, "test") || under(dir, "lockd/faulttest") ||
		under(dir, "lockd/sim") || under(dir, "wal/disk/simdisk")
}
