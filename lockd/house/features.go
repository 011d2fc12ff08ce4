package house

import "strings"

// featuresFile has the table of what lockd and other lock services have.
const featuresFile = "README.md"

// featuresHead is how the head of that table begins.
const featuresHead = "| what | lockd |"

// features checks the table of features: lockd has what a named test shows, and
// nothing else. The last cell of each row names the tests.
func (c *checker) features() {
	f := c.tree.text(featuresFile)
	if f == nil {
		return
	}
	columns := 0
	for i, line := range f.lines {
		switch {
		case strings.HasPrefix(line, featuresHead):
			columns = strings.Count(line, "|")
		case !strings.HasPrefix(line, "|"):
			columns = 0
		case columns > 0 && !strings.HasPrefix(line, "|-"):
			c.feature(f, i+1, line, columns)
		}
	}
}

// feature checks one row.
func (c *checker) feature(f *file, number int, line string, columns int) {
	cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	if len(cells)+1 != columns {
		c.atLine(f, number, "feature", "the row has %d cells, its head %d", len(cells), columns-1)
		return
	}
	tests := names(cells[len(cells)-1])
	for _, test := range tests {
		if len(c.tree.declaring(test)) == 0 {
			c.atLine(f, number, "feature", "there is no %s", test)
		}
	}
	has := strings.TrimSpace(cells[1])
	switch {
	case has != "yes" && has != "part" && has != "no":
		c.atLine(f, number, "feature", "lockd has it: got %q, want yes, part or no", has)
	case has != "no" && len(tests) == 0:
		c.atLine(f, number, "feature", "name the test that shows it, as `directory:Name`")
	case has == "no" && len(tests) > 0:
		c.atLine(f, number, "feature", "a test shows it, and the row says no")
	}
}
