package house

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// reliabilityFile is the document that says which test shows what.
const reliabilityFile = "lockd/doc/reliability.md"

// rowsFile says what of a run of the simulator shows a row of the fault matrix.
const rowsFile = "lockd/sim/rows.go"

// mutantsFile lists the rules that are taken out, row by row, to see tests fail.
const mutantsFile = "lockd/mutants/rules.txt"

// matrixRows are the rows that the fault matrix has.
func matrixRows() []string {
	var all []string
	for _, class := range []struct {
		letter string
		rows   int
	}{{"D", 10}, {"C", 3}, {"N", 6}, {"T", 4}, {"P", 3}, {"M", 2}, {"K", 3}, {"W", 1}, {"R", 1}} {
		for i := range class.rows {
			all = append(all, fmt.Sprintf("F-%s%d", class.letter, i+1))
		}
	}
	return all
}

// reliabilityIDs are the ids that the document must have a row for, each once:
// guarantees, invariants, rows of the matrix and pitfalls.
func reliabilityIDs() []string {
	var all []string
	for _, set := range []struct {
		letter string
		rows   int
	}{{"G", 9}, {"I", 33}, {"P", 43}} {
		for i := range set.rows {
			all = append(all, fmt.Sprint(set.letter, i+1))
		}
	}
	return append(all, matrixRows()...)
}

// rowID is what the first cell of a row may be.
var rowID = regexp.MustCompile(`^(G|I|P|F-[A-Z])[0-9]+$`)

// invariantID finds the invariants that a cell names.
var invariantID = regexp.MustCompile(`\bI[0-9]+\b`)

// quoted finds what stands between backticks.
var quoted = regexp.MustCompile("`([^`]+)`")

// idRow is one row of a table of the document.
type idRow struct {
	id    string
	line  int
	cells []string
}

// The cells of a row of the fault matrix.
const (
	cellInvariants = 3
	cellShown      = 4
	cellCommand    = 5
	matrixCells    = 7
)

// idRows finds the rows whose first cell is an id.
func idRows(f *file) []idRow {
	var rows []idRow
	for i, line := range f.lines {
		inner, ok := strings.CutPrefix(strings.TrimSpace(line), "|")
		if !ok {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(inner, "|"), "|")
		for k := range cells {
			cells[k] = strings.TrimSpace(cells[k])
		}
		if id := strings.Trim(cells[0], "*"); rowID.MatchString(id) {
			rows = append(rows, idRow{id: id, line: i + 1, cells: cells})
		}
	}
	return rows
}

// reliability checks that the document has every row, and that every test, file,
// function and command it names exists.
func (c *checker) reliability() {
	f := c.tree.text(reliabilityFile)
	if f == nil {
		if c.tree.holds("lockd/house/doc.go") {
			c.atLine(&file{path: reliabilityFile}, 1, "reliability",
				"write it: what is guaranteed, and the test that shows each fault survived")
		}
		return
	}
	rows := idRows(f)
	c.completeIDs(f, rows)
	c.references(f)
	shown := c.tree.simulatedRows()
	for _, row := range rows {
		switch {
		case strings.HasPrefix(row.id, "F-"):
			c.matrixRow(f, row, shown)
		case len(row.cells) < 4 || len(names(row.cells[len(row.cells)-1])) == 0:
			c.atLine(f, row.line, "reliability", "%s: name in the last cell what checks it, as "+
				"`directory:Name` or `file.go:Name`", row.id)
		}
	}
}

// completeIDs checks that each id has one row.
func (c *checker) completeIDs(f *file, rows []idRow) {
	have := map[string]bool{}
	known := reliabilityIDs()
	for _, row := range rows {
		switch {
		case have[row.id]:
			c.atLine(f, row.line, "reliability", "%s has a row already", row.id)
		case !slices.Contains(known, row.id):
			c.atLine(f, row.line, "reliability", "%s is no id of the document; add it to "+
				"lockd/house/reliability.go, or number the row anew", row.id)
		}
		have[row.id] = true
	}
	var missing []string
	for _, id := range known {
		if !have[id] {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		c.atLine(f, 1, "reliability", "rows are missing: %s", strings.Join(missing, " "))
	}
}

// matrixRow checks one row of the fault matrix: tests that carry its id, and
// commands that run each of them.
func (c *checker) matrixRow(f *file, row idRow, simulated []string) {
	if len(row.cells) != matrixCells {
		c.atLine(f, row.line, "reliability", "%s has %d cells, want id, fault, injected by, "+
			"invariants, shown by, command and result", row.id, len(row.cells))
		return
	}
	for _, id := range invariantID.FindAllString(row.cells[cellInvariants], -1) {
		if !slices.Contains(reliabilityIDs(), id) {
			c.atLine(f, row.line, "reliability", "%s: there is no invariant %s", row.id, id)
		}
	}
	tests := names(row.cells[cellShown])
	runs := c.commands(f, row)
	for _, test := range tests {
		if !carries(test.name, row.id) {
			c.atLine(f, row.line, "reliability", "%s: %s does not carry the row in its name; call "+
				"it Test%s…", row.id, test.name, strings.ReplaceAll(row.id, "-", ""))
		}
		if !slices.ContainsFunc(runs, func(r testRun) bool { return r.covers(c.tree, test) }) {
			c.atLine(f, row.line, "reliability", "%s: no command of the row runs %s", row.id, test)
		}
	}
	inSim := slices.Contains(words(row.cells[cellShown]), "sim")
	if has := slices.Contains(simulated, row.id); inSim != has {
		c.atLine(f, row.line, "reliability", "%s: the row says that the simulator shows it: %v; %s "+
			"says %v", row.id, inSim, rowsFile, has)
	}
	if inSim && !strings.Contains(row.cells[cellCommand], "`make sim") {
		c.atLine(f, row.line, "reliability", "%s: no command of the row runs the simulator", row.id)
	}
	if c.tree.mutants != nil && !slices.Contains(c.tree.mutants.lines, "row: "+row.id) {
		c.atLine(f, row.line, "reliability", "%s: %s takes no rule of the row out, so nothing shows "+
			"that its tests can fail", row.id, mutantsFile)
	}
	if len(tests) == 0 && !inSim {
		c.atLine(f, row.line, "reliability", "%s: no test shows it", row.id)
	}
}

// carries says whether a test is named after a row: FD1 for F-D1, not FD10.
func carries(name, id string) bool {
	mark := strings.ReplaceAll(id, "-", "")
	for rest := name; ; {
		_, after, found := strings.Cut(rest, mark)
		if !found {
			return false
		}
		if after == "" || after[0] < '0' || after[0] > '9' {
			return true
		}
		rest = after
	}
}

// words returns what a cell has between backticks.
func words(cell string) []string {
	var all []string
	for _, match := range quoted.FindAllStringSubmatch(cell, -1) {
		all = append(all, match[1])
	}
	return all
}
