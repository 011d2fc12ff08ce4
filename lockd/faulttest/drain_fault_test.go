//go:build fault

package faulttest

import (
	"fmt"
	"testing"
	"time"
)

// TestFM1MovesAndDrainsUnderLoad moves groups and drains nodes while workers lock and
// unlock fresh names: no call fails, what is held stays held, and nobody waits for as
// long as a leader that died would cost. A drained node that is killed costs nothing
// either.
func TestFM1MovesAndDrainsUnderLoad(t *testing.T) {
	r := newRig(t, 33)
	c := r.cluster
	pairs := startPairLoad(t, c)
	for g := range groups {
		changes(t, c.Nodes[g%3], "move", fmt.Sprint(g), fmt.Sprint((g+1)%3+1), "--wait", "20s")
	}
	for _, n := range c.Nodes {
		changes(t, n, "drain", "--wait", "20s")
		r.intact(t, fmt.Sprintf("node %d drains", n.ID))
		changes(t, n, "drain", "--undo", "--wait", "20s")
	}
	longest := pairs.report(t, "12 moves, 3 drains")
	if longest > maxAddedGap {
		t.Errorf("longest pair while groups moved: got %v, want at most %v", longest, maxAddedGap)
	}
	changes(t, c.Nodes[0], "drain", "--wait", "20s")
	quiet := startPairLoad(t, c)
	if err := c.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	pause(within(t, 20*time.Second), 2*time.Second)
	if err := c.Nodes[0].Start(); err != nil {
		t.Fatal(err)
	}
	changes(t, c.Nodes[1], "move", "0", "1", "--wait", "20s") // it started anew, and leads again
	if longest := quiet.report(t, "a drained node is killed"); longest > maxAddedGap {
		t.Errorf("longest pair: got %v, want at most %v", longest, maxAddedGap)
	}
	r.undisturbed(t)
}
