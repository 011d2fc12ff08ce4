package main

import (
	"testing"

	"lockd/lockd/sim"
)

// A bug that is misspelt among others is not passed over.
func TestPlantsMustExist(t *testing.T) {
	all := []sim.Planting{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	for _, c := range []struct {
		names string
		want  int
	}{{"all", 3}, {"b", 1}, {"c,a", 2}, {"a,d", 0}, {"", 0}} {
		got, err := choose(all, c.names)
		if len(got) != c.want || (err == nil) != (c.want > 0) {
			t.Errorf("%q: got %d bugs, %v, want %d", c.names, len(got), err, c.want)
		}
	}
}
