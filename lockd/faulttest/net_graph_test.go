package faulttest

import (
	"strings"
	"testing"
)

// TestGraphs counts the graphs by what they are: each pair of nodes has both
// directions, one of two, or none, and 27 of the 64 have no pair with both.
func TestGraphs(t *testing.T) {
	serving := 0
	named := map[string]int{}
	for g := range Graph(Graphs) {
		if g.Serves() {
			serving++
		}
		text := g.String()
		if at := strings.IndexByte(text, '('); at >= 0 {
			text = text[at:]
		}
		named[text]++
	}
	if serving != 64-27 {
		t.Errorf("got %d graphs that serve, want %d", serving, 64-27)
	}
	for name, want := range map[string]int{"full": 1, "nothing": 1, "(chained)": 3,
		"(constrained)": 3, "(no quorum)": 26} {
		if got := named[name]; got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
	g := FullGraph.Cut(2, 3)
	if g.Up(2, 3) || !g.Up(3, 2) || !g.Up(1, 3) {
		t.Errorf("a cut from 2 to 3: got %v", g)
	}
	if got, want := FullGraph.Isolate(1).String(), "2→3 3→2 (constrained)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
