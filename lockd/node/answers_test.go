package node

import (
	"encoding/binary"
	"testing"

	"lockd/netio/wire"
)

// TestFN5CostlyRequestsLeaveAnswersTheirShare: requests that cost more than a turn may
// in each of many turns do not keep somebody else's question from being answered: some
// of each turn is for answers, whatever came before them (I33).
func TestFN5CostlyRequestsLeaveAnswersTheirShare(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.leaderOf(0)
	const polite = 99
	costly := wire.AppendKeepalive(nil, wire.Header{Request: 1}, nil)
	costly = append(costly, make([]byte, wire.MaxFrameBytes-len(costly))...)
	binary.LittleEndian.PutUint32(costly, uint32(len(costly)-4))
	asked := wire.AppendGet(nil, wire.Header{Group: 0, Request: 2}, &wire.Get{Name: w.nameIn(0, 1)})
	n.inbox.Request(polite, asked)
	for turns := 0; answered(n, polite) == 0; turns++ {
		if turns > 20 {
			t.Fatalf("the polite conn's question is not answered after %d turns", turns)
		}
		for c := range ConnID(4) {
			n.inbox.Request(c+1, costly)
		}
		w.step()
	}
}
