package faulttest

import (
	"os"
	"testing"
	"time"
)

// newRigOn is newRig with data directories where place puts them.
//
//lint:ignore U1000 tests with the fault tag use it
func newRigOn(t *testing.T, seed uint64, place func(*Cluster), flags ...string) *rig {
	t.Helper()
	c := newStoppedCluster(t, 3, flags...)
	place(c)
	if err := c.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	return startRig(t, c, seed)
}

// forgetLog empties the log file of a node, so that what it prints next can be
// told from what it printed before.
//
//lint:ignore U1000 tests with the fault tag use it
func (n *Node) forgetLog(t *testing.T) {
	t.Helper()
	if err := os.Truncate(n.LogPath(), 0); err != nil {
		t.Fatal(err)
	}
}
