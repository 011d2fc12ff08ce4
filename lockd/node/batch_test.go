package node

import (
	"bytes"
	"fmt"
	"testing"

	"lockd/netio/wire"
)

// longNameIn is nameIn with a name of so many bytes.
func (w *world) longNameIn(g uint16, i, length int) []byte {
	for k := 0; ; k++ {
		name := fmt.Appendf(nil, "long-%03d-%d-", i, k)
		name = append(name, bytes.Repeat([]byte("x"), length-len(name))...)
		if wire.GroupOf("", name, uint16(w.opts.Groups)) == g {
			return name
		}
	}
}

// How large a batch may become is a setting of each node: a leader whose batches are
// larger than its peers' has them accepted all the same.
func TestLeaderMayHaveLargerBatchesThanItsPeers(t *testing.T) {
	w := newWorld(t, testOptions())
	led := w.leaderOf(0)
	for _, n := range w.nodes {
		if n != led {
			w.kill(n.id)
			n.batchBytes = 4096
			n.start()
			w.link(n.id)
			w.run(2 * Second)
		}
	}
	if w.leaderOf(0) != led {
		t.Fatalf("leader: got node %d, want node %d", w.leaderOf(0).id, led.id)
	}
	u := w.lasting(1, 0, 60_000)
	var asked []uint64
	for i := range 30 { // 12 KB, in one slot
		asked = append(asked, u.acquire(w.longNameIn(0, i, 400), wire.FlagWait))
	}
	for _, request := range asked {
		u.want(request, wire.StatusOK)
	}
}
