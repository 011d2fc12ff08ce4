package check

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// million draws a history of that many operations of names of every shape.
func million(names int) []Operation {
	const operations = 1_000_000
	all := make([]Operation, 0, operations)
	for i := range names {
		d := &drawn{Rand: rand.New(rand.NewPCG(uint64(i), 3)), next: 1, rest: 20,
			shape: i % drawnShapes, clients: make([]drawnClient, 8)}
		d.run(operations / names)
		for k := range d.all {
			d.all[k].Name = fmt.Sprintf("n%d", i)
		}
		all = append(all, d.all...)
	}
	return all
}

// TestAMillionOperations are checked in seconds, be they of many names or of a few,
// and a violation among them is found.
func TestAMillionOperations(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	for _, names := range []int{10, 1000} {
		all := million(names)
		began := time.Now()
		r := Check(all)
		took := time.Since(began)
		t.Logf("%d operations of %d names: %v, at most %d states, %d ghosts", r.Operations, r.Names,
			took.Round(time.Millisecond), r.Most, r.Ghosts)
		if len(r.Violations) > 0 || len(r.Undecided) > 0 || r.Operations < 900_000 {
			t.Errorf("got %v, undecided %v, %d operations", r.Violations, r.Undecided, r.Operations)
		}
		if took > time.Minute {
			t.Errorf("took %v, want seconds", took)
		}
	}
}
