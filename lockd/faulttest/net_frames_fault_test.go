//go:build fault

package faulttest

import (
	"testing"
	"time"

	"lockd/lockd/faulttest/proxy"
)

// noGhosts demands that nobody is left in possession: what was executed without
// anybody knowing would be held until the leases of the load run out.
func (r *netRig) noGhosts(t *testing.T) {
	t.Helper()
	if err := r.load.Stop(); err != nil {
		t.Fatal(err)
	}
	r.probe.Stop()
	for _, register := range r.load.registers {
		free(t, r.watch, register.name)
	}
}

// TestFN2FramesLostRepeatedSwappedReplayed is F-N2 between nodes: on every link
// a tenth of all frames is lost, comes twice, comes late, or is followed by an
// old one, perhaps of an earlier link, and all are slow. It fails if an acceptor
// takes what is below its promise (I3), or if a slot is decided by counting
// answers without their ballots (I1).
func TestFN2FramesLostRepeatedSwappedReplayed(t *testing.T) {
	r := newNetRig(t, newProxied(t, 22), 22)
	mesh := r.cluster.Mesh
	mesh.SetPeers(proxy.Rules{
		Delay: time.Millisecond, Jitter: 5 * time.Millisecond,
		Odds: proxy.Odds{proxy.Lose: 30, proxy.Repeat: 25, proxy.Swap: 25, proxy.Replay: 20},
	})
	for range 15 {
		r.probe.Watch()
		pair, _ := mesh.Between(1+r.draw.IntN(2), 3)
		pair.Reset() // so that the next frames replayed are of an earlier link
		r.progress(t, 10*electionTimeout, "with a tenth of all frames harmed")
		r.intact(t, "with a tenth of all frames harmed")
		time.Sleep(500 * time.Millisecond)
	}
	mesh.SetPeers(proxy.Rules{})
	r.probe.Watch()
	t.Logf("healed: all groups serve after %v", r.progress(t, 4*electionTimeout, "healed"))
	s := mesh.Stats()
	t.Logf("%d links, %d frames: %d lost, %d repeated, %d swapped, %d replayed", s.Conns,
		s.Frames[proxy.Up]+s.Frames[proxy.Down], s.Done[proxy.Lose], s.Done[proxy.Repeat],
		s.Done[proxy.Swap], s.Done[proxy.Replay])
	r.finish(t)
}

// TestFN2RequestsArriveLate is F-N2 and F-K1 between clients and nodes: conns
// are cut off again and again, and what they carried arrives up to a second
// later, when the client has long asked again on another conn. It fails if the
// machine takes requests of an epoch below the newest (I19): a late acquire
// would take a lock that nobody knows to hold.
func TestFN2RequestsArriveLate(t *testing.T) {
	r := newNetRig(t, newProxied(t, 23), 23)
	r.cluster.Mesh.SetClients(proxy.Rules{Delay: time.Millisecond, Jitter: 20 * time.Millisecond})
	for range 60 {
		late := time.Duration(20+r.draw.IntN(980)) * time.Millisecond
		r.cluster.Mesh.Before(1 + r.draw.IntN(3)).Orphan(late)
		time.Sleep(time.Duration(50+r.draw.IntN(300)) * time.Millisecond)
		if err := r.load.Err(); err != nil {
			t.Fatal(err)
		}
	}
	r.cluster.Mesh.SetClients(proxy.Rules{})
	r.serves(t)
	r.intact(t, "after late requests")
	r.noGhosts(t)
	conns := uint64(0)
	for _, n := range r.cluster.Nodes {
		conns += r.cluster.Mesh.Before(n.ID).Stats().Conns
	}
	t.Logf("%d conns", conns)
	r.finish(t)
}

// TestFN4LinksGarbled is F-N4 between nodes: on every link one frame of a
// hundred comes with a changed byte, in part, or as the last one. A garbled one
// ends its link and is never believed; the groups serve on. It fails without the
// checksum of peer frames.
func TestFN4LinksGarbled(t *testing.T) {
	r := newNetRig(t, newProxied(t, 41), 41)
	mesh := r.cluster.Mesh
	mesh.SetPeers(proxy.Rules{Odds: proxy.Odds{proxy.Garble: 4, proxy.Sever: 3, proxy.HalfClose: 3}})
	for range 10 {
		time.Sleep(time.Second)
		r.intact(t, "with garbled frames")
	}
	mesh.SetPeers(proxy.Rules{})
	t.Logf("healed: all links up after %v", awaitLinks(t, r.cluster, 20*time.Second))
	r.probe.Watch()
	r.progress(t, 4*electionTimeout, "healed")
	s := mesh.Stats()
	garbled := metricAll(t, r.cluster, "lockd_peer_garbled_total", "")
	t.Logf("%d links; %d garbled (%v noticed as such), %d severed, %d half-closed", s.Conns,
		s.Done[proxy.Garble], garbled, s.Done[proxy.Sever], s.Done[proxy.HalfClose])
	if s.Done[proxy.Garble] == 0 || garbled == 0 {
		t.Error("nothing was garbled, or nobody noticed")
	}
	r.finish(t)
}

// TestFN4EndlessFrameOnALink is F-N4: a frame between nodes claims to be longer
// than anything that follows, as one flipped bit in a length can have it. The
// link must be given up in bounded time, or it carries nothing for as long as
// its peers take to send eight megabytes. It fails without the limit on the time
// that a frame may take (netio, LinkOptions.FrameTimeout).
func TestFN4EndlessFrameOnALink(t *testing.T) {
	r := newNetRig(t, newProxied(t, 42), 42)
	links := r.cluster.Mesh.Stats().Conns
	for _, pair := range [][2]int{{1, 2}, {2, 3}, {3, 1}} {
		p, d := r.cluster.Mesh.Between(pair[0], pair[1])
		p.Strike(d, proxy.Endless)
		r.probe.Watch()
		began := time.Now()
		took := r.progress(t, 5*electionTimeout, "with an endless frame")
		for r.cluster.Mesh.Stats().Conns == links {
			if time.Since(began) > 20*time.Second {
				t.Fatalf("from %d to %d: the link still waits for the end of a frame after %v",
					pair[0], pair[1], time.Since(began))
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Logf("from %d to %d: all groups serve after %v, link replaced after %v", pair[0], pair[1],
			took, time.Since(began))
		awaitLinks(t, r.cluster, 5*time.Second)
		links = r.cluster.Mesh.Stats().Conns
	}
	r.finish(t)
}

// TestFN4HalfOpenConns is F-N4 between clients and nodes: every conn of one node
// after the other carries nothing any more and nobody is told. A client must
// notice by itself, and not keep to it when the network is well again. It fails
// without the pings of the client.
func TestFN4HalfOpenConns(t *testing.T) {
	r := newNetRig(t, newProxied(t, 43), 43)
	for _, n := range r.cluster.Nodes {
		p := r.cluster.Mesh.Before(n.ID)
		p.SetBoth(proxy.Rules{Gate: proxy.Swallow})
		time.Sleep(4 * time.Second)
		r.probe.Watch()
		p.SetBoth(proxy.Rules{})
		took := r.progress(t, 4*electionTimeout, "with the network well again")
		t.Logf("node %d: all groups serve %v after the end of a silence of 4s", n.ID, took)
		r.intact(t, "after a silence")
	}
	r.finish(t)
}

// TestFN5SlowLink is F-N5 between nodes: one node's links take a few kilobytes a
// second. The others serve without it as soon as its last heartbeats have come
// through, nobody keeps more for it than the bound, and it catches up. It fails
// if a leader waits for the slowest.
func TestFN5SlowLink(t *testing.T) {
	r := newNetRig(t, newProxied(t, 51), 51)
	before := ballots(t, r, 3)
	for _, id := range []int{1, 2} {
		r.cluster.Mesh.Set(id, 3, proxy.Rules{BytesPerSecond: 5 << 10})
		r.cluster.Mesh.Set(3, id, proxy.Rules{BytesPerSecond: 5 << 10})
	}
	r.probe.Watch()
	took := r.progress(t, 10*electionTimeout, "with one slow node")
	t.Logf("all groups serve after %v: the old heartbeats of node 3 had to arrive first", took)
	time.Sleep(electionTimeout)
	r.probe.Watch()
	time.Sleep(8 * time.Second)
	longest, group := r.probe.Longest()
	t.Logf("with one slow node: the longest wait was %v, in group %d", longest, group)
	if longest > electionTimeout {
		t.Errorf("group %d kept a caller waiting for %v, want %v", group, longest, electionTimeout)
	}
	moved := changed(before, ballots(t, r, 3))
	t.Logf("%d of the groups that others led have another leader", moved)
	if moved > 0 {
		t.Errorf("%d groups of healthy leaders moved, want none (I29)", moved)
	}
	for _, n := range r.cluster.Nodes[:2] {
		if got := metric(t, n, "lockd_peer_queued_bytes", ""); got > 64<<20 {
			t.Errorf("node %d keeps %v bytes for its peers, want 64 MiB at most", n.ID, got)
		}
	}
	r.cluster.Mesh.SetPeers(proxy.Rules{})
	r.finish(t)
}

// ballots returns, by group, the ballot of the leader as the cluster knows it,
// for the groups that the given node does not lead.
func ballots(t *testing.T, r *netRig, except uint16) map[uint16][2]uint64 {
	t.Helper()
	all, err := r.watch.Status(within(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	led := map[uint16][2]uint64{}
	for i := range all {
		for _, g := range all[i].Groups {
			if all[i].Err == nil && g.Leader == all[i].Node && g.Leader != except {
				led[g.Group] = [2]uint64{g.Round, uint64(g.BallotNode)}
			}
		}
	}
	return led
}

// changed counts the groups of before whose ballot has changed.
func changed(before, after map[uint16][2]uint64) int {
	n := 0
	for g, ballot := range before {
		if after[g] != ballot {
			n++
		}
	}
	return n
}
