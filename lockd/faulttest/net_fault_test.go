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
