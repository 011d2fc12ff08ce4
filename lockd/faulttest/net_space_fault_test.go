//go:build fault

package faulttest

import (
	"errors"
	"testing"
	"time"
)

// newSpaced starts three nodes in network namespaces, or skips the test.
func newSpaced(t *testing.T) (*Cluster, *Spaces) {
	t.Helper()
	var spaces *Spaces
	t.Cleanup(func() { // after the nodes have been killed
		if spaces == nil {
			return
		}
		if err := spaces.Close(); err != nil {
			t.Error(err)
		}
	})
	c := makeCluster(t, Options{Nodes: graphNodes, Flags: smallFlags()})
	spaces, err := NewSpaces(c)
	if errors.Is(err, ErrNoSpaces) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := spaces.Shape(FullGraph); err != nil {
		t.Skipf("%v: %v", ErrNoSpaces, err)
	}
	if err := c.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	return c, spaces
}

// TestFN1All64GraphsOfPackets is F-N1 in network namespaces: the kernels of the
// nodes drop packets as each of the 64 graphs has it, so that a direction that
// is cut takes the acknowledgements of the other one along, and a link that
// comes back finds both kernels waiting to send again.
func TestFN1All64GraphsOfPackets(t *testing.T) {
	c, spaces := newSpaced(t)
	newNetRig(t, c, 65).allGraphs(t, func(g Graph) {
		if err := spaces.Shape(g); err != nil {
			t.Fatal(err)
		}
	})
}
