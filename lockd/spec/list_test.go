package spec

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestLongRuns: a long search is marked before the flags that spin takes, and
// nowhere else.
func TestLongRuns(t *testing.T) {
	runs, err := parse("m", "/*\n * run fails a I1 -O -DX=2\n * run holds b -DY\n */")
	if err != nil {
		t.Fatal(err)
	}
	a, b := runs[0], runs[1]
	if !a.Long || !slices.Equal(a.Flags, []string{"-DX=2"}) || a.Invariant != "I1" || b.Long {
		t.Errorf("got %+v and %+v, want the first long", a, b)
	}
	if _, err := parse("m", "/*\n * run holds b -DY -O\n */"); err == nil {
		t.Error("a mark behind the flags: got no error, want one")
	}
}

// TestEachModelCanFail: of each model something holds, something fails, and
// something is reached, without the deep runs.
func TestEachModelCanFail(t *testing.T) {
	runs, err := List(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for i := range runs {
		count[runs[i].Model+" "+string(runs[i].Kind)]++
	}
	for _, model := range strings.Fields("core identity reconfig session") {
		for _, kind := range []Kind{Holds, Fails, Reached} {
			if key := model + " " + string(kind); count[key] == 0 {
				t.Errorf("%s: got no run", key)
			}
		}
	}
}
