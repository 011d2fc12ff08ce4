package house

import "regexp"

var (
	// marker finds the words that mark unfinished work.
	marker = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	// markerForm is the one form in which such a word may stand.
	markerForm = regexp.MustCompile(`\bTODO\(#[0-9]+\): \S`)
	// machinePath finds paths that exist on one person's machine only.
	machinePath = regexp.MustCompile(`(^|[\s"'(\x60=:])/(work|root|home/[a-z]+|Users)/`)
)

// comments checks a file's comments for unfinished work, and all of it for
// paths of one machine.
func (c *checker) comments(f *file) {
	for _, group := range f.syntax.Comments {
		for _, comment := range group.List {
			for i, line := range splitLines(comment.Text) {
				if marker.MatchString(line) && !markerForm.MatchString(line) {
					c.atLine(f, c.tree.line(comment.Pos())+i, "comment",
						"write TODO(#123): with an issue's number and what is to be done, or do it")
				}
			}
		}
	}
	c.machinePaths(f)
}

// machinePaths checks every line for absolute paths that others do not have.
func (c *checker) machinePaths(f *file) {
	for i, line := range f.lines {
		if machinePath.MatchString(line) {
			c.atLine(f, i+1, "comment", "a path of one machine: name it relative to the "+
				"repository, or use t.TempDir")
		}
	}
}
