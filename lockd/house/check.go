package house

import (
	"fmt"
	"go/token"
	"slices"
	"strings"
)

// Finding is one breach of one rule.
type Finding struct {
	File string // path from the root
	Line int    // from 1
	Rule string // a name of the table in the package comment
	Text string // what is wrong and what to write instead
}

// String prints a finding the way compilers do: file:line: rule: text.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s: %s", f.File, f.Line, f.Rule, f.Text)
}

// Check runs every rule over the tree. Excess is the ratchet, as ParseRatchet
// returns it. The findings are sorted by file and line.
func Check(t *Tree, excess Ratchet) []Finding {
	c := &checker{tree: t, findings: slices.Clone(t.broken)}
	for _, f := range t.files {
		c.imports(f)
		c.goroutines(f)
		c.sleeps(f)
		c.words(f)
		c.comments(f)
		if !f.test {
			c.exported(f)
			c.inits(f)
			c.signatures(f)
			c.recovers(f)
			c.errorTexts(f)
		}
	}
	for _, f := range t.texts {
		c.machinePaths(f)
	}
	for _, p := range t.packages() {
		c.packageComment(p)
		c.variables(p)
	}
	c.doors()
	c.mapOrder()
	c.sizes(excess)
	c.reliability()
	c.features()
	slices.SortStableFunc(c.findings, func(a, b Finding) int {
		if by := strings.Compare(a.File, b.File); by != 0 {
			return by
		}
		return a.Line - b.Line
	})
	return slices.Compact(c.findings)
}

// checker collects findings. It belongs to one call of Check.
type checker struct {
	tree     *Tree
	findings []Finding
}

// at reports a breach at a position of a file.
func (c *checker) at(f *file, pos token.Pos, rule, format string, args ...any) {
	c.atLine(f, c.tree.line(pos), rule, format, args...)
}

// atLine reports a breach at a line of a file.
func (c *checker) atLine(f *file, line int, rule, format string, args ...any) {
	c.findings = append(c.findings, Finding{
		File: f.path, Line: line, Rule: rule, Text: fmt.Sprintf(format, args...),
	})
}
