package node

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"lockd/lockd/placement"
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

// What a node has to say itself may come on top of a full batch. A time step that has
// to stand before it finds room all the same.
func TestFullBatchHasRoomForATimeStep(t *testing.T) {
	o := testOptions()
	o.MaxBatchBytes = 4096
	w := raisedWorld(t, o)
	u := w.lasting(1, 0, 60_000)
	led := w.leaderOf(0)
	h := u.header(wire.KindOpenSession)
	led.inbox.Request(2, wire.AppendOpenSession(nil, h, &wire.OpenSession{
		Nonce: wire.Nonce{7}, Epoch: 1, LeaseMillis: 2000, Name: []byte("tester")}))
	var asked []uint64
	for i := range 9 {
		asked = append(asked, u.acquire(w.longNameIn(0, i, 400), wire.FlagWait))
	}
	asked = append(asked, u.acquire(w.longNameIn(0, 10, 201), wire.FlagWait))
	var names [][]byte
	for i := range 9 {
		names = append(names, w.longNameIn(0, 20+i, 440))
	}
	asked = append(asked, u.acquireAll(names, wire.FlagWait))
	made := errors.New("nothing came of it")
	led.inbox.Change(placement.Change{Kind: placement.Move, Node: 3, Group: 1},
		func(err error) { made = err })
	for _, request := range asked {
		u.want(request, wire.StatusOK)
	}
	if made != nil {
		t.Errorf("change: %v", made)
	}
}

// What is kept of the commands of a batch, so that their answers find the way back, has
// a bound as well: short ones would take more memory than their bytes are (I22).
func TestBatchBoundsWhatIsKeptOfItsCommands(t *testing.T) {
	if got := reflect.TypeFor[origin]().Size() * 5 / 4; got > originBytes {
		t.Errorf("a command takes %d bytes besides its own, counted as %d", got, originBytes)
	}
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	g, most := n.node.groups[0], n.node.opts.MaxBatchBytes/4*3
	for _, flags := range []wire.Flags{0, wire.FlagWait | wire.FlagDetails} {
		c, name := n.node.conns.open(7+ConnID(flags)), w.longNameIn(0, int(flags), 20)
		refused := uint64(0)
		for i := uint64(1); refused == 0; i++ {
			h := wire.Header{Kind: wire.KindAcquire, Request: i, Flags: flags}
			before := len(g.origins)
			n.node.onRequest(c, wire.AppendAcquire(nil, h, &wire.Acquire{Session: 5, Epoch: 1,
				Mode: wire.ModeEX, Name: name}))
			if len(g.origins) == before {
				refused = i
			}
		}
		kept := 0
		for i := range g.origins {
			kept += originBytes + len(g.origins[i].name)
		}
		if kept > most+originBytes+len(name) || kept < most/2 {
			t.Errorf("flags %d: %d commands of a batch take %d bytes besides, want %d at most", flags,
				len(g.origins), kept, most)
		}
		w.run(20 * Millisecond)
		if got := n.statuses(c.id)[refused]; got != wire.StatusBusy {
			t.Errorf("flags %d: the last of %d: got %v, want busy", flags, refused, got)
		}
		if g.originBytes != 0 || len(g.origins) != 0 {
			t.Fatalf("flags %d: got %d bytes counted of %d commands in an empty batch", flags,
				g.originBytes, len(g.origins))
		}
	}
	for range 3 * most / 2 / originBytes {
		n.node.park(g, 5, 1)
	}
	n.node.batchParks(g)
	if got := len(g.origins); got > most/originBytes+1 || len(g.parks) == 0 {
		t.Errorf("got %d parked in one batch, %d left", got, len(g.parks))
	}
}
