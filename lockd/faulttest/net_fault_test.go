//go:build fault

package faulttest

import (
	"slices"
	"testing"
	"time"
)

// TestFN1All64Graphs is F-N1 on messages: the proxies between three nodes let
// through what each of the 64 connectivity graphs has, one after the other in
// drawn order, while clients reach every node. Where G8 says so, every group
// must serve within four election timeouts; elsewhere nothing may be granted;
// and no grant may ever contradict another.
func TestFN1All64Graphs(t *testing.T) {
	r := newNetRig(t, newProxied(t, 64), 64)
	r.allGraphs(t, func(g Graph) { r.cluster.Mesh.Shape(g, r.draw) })
	s := r.cluster.Mesh.Stats()
	t.Logf("%d links, %d frames, %d swallowed", s.Conns, s.Frames[0]+s.Frames[1], s.Swallowed)
}

// allGraphs drives a network through all graphs.
func (r *netRig) allGraphs(t *testing.T, shape func(Graph)) {
	t.Helper()
	var took []time.Duration
	for i, number := range r.draw.Perm(Graphs) {
		g := Graph(number)
		r.probe.Watch()
		shape(g)
		if !g.Serves() {
			r.still(t, g.String())
			t.Logf("%2d/64 graph %2d: nothing granted: %v", i+1, number, g)
			continue
		}
		took = append(took, r.progress(t, 4*electionTimeout, g.String()))
		t.Logf("%2d/64 graph %2d: all groups serve after %8v: %v", i+1, number,
			took[len(took)-1].Round(time.Millisecond), g)
	}
	shape(FullGraph)
	r.serves(t)
	r.intact(t, "with all links back")
	r.finish(t)
	slices.Sort(took)
	t.Logf("progress in %d graphs: median %v, p90 %v, max %v; %d pairs", len(took),
		took[len(took)/2].Round(time.Millisecond), took[len(took)*9/10].Round(time.Millisecond),
		took[len(took)-1].Round(time.Millisecond), r.probe.Pairs.Load())
}

// TestFN1ReturningNodeDeposesNobody cuts one node off again and again, each way
// and both ways, and lets it return: what others lead stays with them, as their
// ballots show (I29). It fails if a node that hears a leader welcomes another
// (paxos, onPrePrepare).
func TestFN1ReturningNodeDeposesNobody(t *testing.T) {
	r := newNetRig(t, newProxied(t, 29), 29)
	const id = 3
	for name, g := range map[string]Graph{
		"hears nobody":        FullGraph.Cut(1, id).Cut(2, id),
		"is heard by nobody":  FullGraph.Cut(id, 1).Cut(id, 2),
		"is cut off":          FullGraph.Isolate(id),
		"hears and is not":    FullGraph.Cut(id, 1).Cut(2, id),
		"has only one friend": FullGraph.Cut(id, 1).Cut(1, id),
	} {
		before := ballots(t, r, id)
		r.cluster.Mesh.Shape(g, r.draw)
		time.Sleep(3 * electionTimeout)
		r.probe.Watch()
		r.cluster.Mesh.Shape(FullGraph, r.draw)
		time.Sleep(2 * electionTimeout)
		longest, group := r.probe.Longest()
		moved := changed(before, ballots(t, r, id))
		t.Logf("a node %s and returns: %d of %d groups of others moved; longest wait %v", name,
			moved, len(before), longest)
		if moved > 0 {
			t.Errorf("a node that %s deposed the leaders of %d groups", name, moved)
		}
		if longest > electionTimeout {
			t.Errorf("a node that %s kept callers of group %d waiting for %v", name, group, longest)
		}
		// Its share comes back to it before the next round.
		r.awaitShare(t, id)
	}
	r.finish(t)
}

// awaitShare waits until a node leads its third of the groups.
func (r *netRig) awaitShare(t *testing.T, id uint16) {
	t.Helper()
	ctx := within(t, 90*time.Second)
	for len(ballots(t, r, id)) > groups-groups/graphNodes {
		pause(ctx, 50*time.Millisecond)
		if ctx.Err() != nil {
			t.Fatalf("node %d does not lead its share again", id)
		}
	}
}
