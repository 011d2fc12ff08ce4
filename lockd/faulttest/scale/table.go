package main

import (
	"fmt"
	"io"
)

// table is what has been measured, a row a figure.
type table struct{ rows []row }

type row struct{ what, figure, bound string }

// add notes a figure, shows it at once, and returns nothing: what is out of
// bounds is for the caller to say.
func (t *table) add(what, figure, bound string) {
	t.rows = append(t.rows, row{what, figure, bound})
	fmt.Printf("%-44s %s\n", what, figure)
}

// print writes the table in Markdown.
func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n| figure | measured | bound |\n| --- | --- | --- |\n")
	for _, r := range t.rows {
		fmt.Fprintf(w, "| %s | %s | %s |\n", r.what, r.figure, r.bound)
	}
}

// bytesEach formats a difference of memory as bytes for each of n things.
func bytesEach(before, after uint64, n int) string {
	return fmt.Sprintf("%.0f B", perOne(before, after, n))
}

func perOne(before, after uint64, n int) float64 {
	return (float64(after) - float64(before)) / float64(n)
}
