package node

import (
	"sync"
	"testing"
)

// allAtOnce calls fn for 0 to n-1, each on a goroutine of its own.
func allAtOnce(n int, fn func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { fn(i) })
	}
	all.Wait()
}

// TestCatchUp: a node that starts again is, before its first turn, where its log
// says that it was, counts what its checkpoint covers as before, and goes on as
// the others do.
func TestCatchUp(t *testing.T) {
	for _, c := range []struct {
		name       string
		checkpoint int64
	}{
		{"all in the log", 1 << 40}, {"upon a checkpoint", 8 << 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testOptions()
			o.CheckpointBytes = c.checkpoint
			w := newWorld(t, o)
			u, other := w.user(1, 2), w.user(2, 3)
			name := w.nameIn(2, 0)
			for i := range 150 {
				other.lock(w.nameIn(3, i))
				u.unlock(name, u.lock(name).Token)
			}
			w.run(Second)
			n := w.nodes[2]
			if got, want := n.slots[2] > 0, c.checkpoint < 1<<40; got != want {
				t.Fatalf("saved group 2: got %t, want %t", got, want)
			}
			before := n.node.group(2).machine.Applied()
			w.kill(2)
			n.together = true
			n.start()
			w.link(2)
			g, status := n.node.group(2), n.node.stats
			const hints = 64 // as rarely as a log says what is chosen
			if got := g.machine.Applied(); got+hints < before {
				t.Errorf("applied before the first turn: got slot %d, want nearly %d", got, before)
			}
			if got, want := status.Applied, g.machine.Applied()-n.slots[2]; got < want || want == 0 {
				t.Errorf("slots counted: got %d, want at least %d of group 2", got, want)
			}
			if got, want := uint64(g.saved), n.slots[2]; got != want {
				t.Errorf("saved: got slot %d, want %d", got, want)
			}
			w.run(Second)
			u.unlock(name, u.lock(name).Token)
			w.converged()
		})
	}
}
