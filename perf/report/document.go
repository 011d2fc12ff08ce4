package report

import (
	"errors"
	"strings"
)

// The lines between which a document's measured part stands.
const (
	beginMark = "<!-- measured: begin. What is between these lines is written by make perf. -->"
	endMark   = "<!-- measured: end -->"
)

// ErrMarks means that a document has not exactly one begin and one end of the
// measured part, in this order.
var ErrMarks = errors.New("report: the document needs one line that begins with " +
	"\"<!-- measured: begin\" and after it one with \"<!-- measured: end\"")

// Rewrite puts the report between the marks of a document, with its pictures, and
// leaves all the rest as it is.
func (r *Report) Rewrite(document string, pictures []Picture) (string, error) {
	begin, end := -1, -1
	lines := strings.Split(document, "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "<!-- measured: begin"):
			if begin >= 0 {
				return "", ErrMarks
			}
			begin = i
		case strings.HasPrefix(line, "<!-- measured: end"):
			if end >= 0 {
				return "", ErrMarks
			}
			end = i
		}
	}
	if begin < 0 || end < begin {
		return "", ErrMarks
	}
	var b strings.Builder
	for _, line := range lines[:begin] {
		b.WriteString(line + "\n")
	}
	b.WriteString(beginMark + "\n\n" + r.body(pictures) + "\n" + endMark)
	for _, line := range lines[end+1:] {
		b.WriteString("\n" + line)
	}
	return b.String(), nil
}
