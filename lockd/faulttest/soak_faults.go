package faulttest

import (
	"context"
	"errors"
	"time"

	"lockd/lockd/faulttest/proxy"
)

// powerCut is the name of the fault that needs file systems of its own.
const powerCut = "power cut"

// SoakFaults are the faults of a Soak, power cuts included where its nodes lie
// on images.
func SoakFaults() []SoakFault {
	return []SoakFault{
		{Name: "kill", Begin: killOne},
		{Name: "kill all", Begin: killAll},
		{Name: "crash loop", Begin: crashLoop},
		{Name: "pause", Begin: pauseOne},
		{Name: "restart", Alone: Alone, Begin: restartOne},
		{Name: "isolate", Begin: isolateOne},
		{Name: "graph", Begin: anyGraph},
		{Name: "reset links", Begin: resetLinks},
		{Name: "harm frames", Begin: harmFrames},
		{Name: "late requests", Begin: lateRequests},
		{Name: "silent conns", Begin: silentConns},
		{Name: "slow node", Begin: slowNode},
		{Name: powerCut, Alone: Alone, Begin: cutPower},
	}
}

// node draws a node.
func (s *Soak) node() *Node { return s.Cluster.Nodes[s.Draw.IntN(len(s.Cluster.Nodes))] }

// again starts nodes that do not run.
func again(nodes ...*Node) func() error {
	return func() error {
		var problems []error
		for _, n := range nodes {
			if !n.Running() {
				problems = append(problems, n.Start())
			}
		}
		return errors.Join(problems...)
	}
}

func killOne(_ context.Context, s *Soak) (func() error, error) {
	n := s.node()
	return again(n), n.Kill()
}

func killAll(_ context.Context, s *Soak) (func() error, error) {
	var problems []error
	for _, n := range s.Cluster.Nodes {
		problems = append(problems, n.Kill())
	}
	return again(s.Cluster.Nodes...), errors.Join(problems...)
}

func crashLoop(ctx context.Context, s *Soak) (func() error, error) {
	n := s.node()
	for range 5 {
		if err := errors.Join(n.Kill(), n.Start()); err != nil {
			return nil, err
		}
		s.rest(ctx, 0, 300*time.Millisecond)
	}
	return again(n), n.Kill()
}

func pauseOne(_ context.Context, s *Soak) (func() error, error) {
	n := s.node()
	if !n.Running() {
		return nil, nil
	}
	// Another fault may kill it meanwhile.
	heal := func() error {
		if !n.Running() {
			return nil
		}
		return n.Resume()
	}
	return heal, n.Pause()
}

func restartOne(_ context.Context, s *Soak) (func() error, error) {
	n := s.node()
	return again(n), n.Stop()
}

// openPeers lets everything between nodes pass again.
func (s *Soak) openPeers() error {
	s.Cluster.Mesh.SetPeers(proxy.Rules{})
	return nil
}

// openClients lets everything between clients and nodes pass again.
func (s *Soak) openClients() error {
	s.Cluster.Mesh.SetClients(proxy.Rules{})
	return nil
}

func isolateOne(_ context.Context, s *Soak) (func() error, error) {
	s.Cluster.Mesh.Shape(FullGraph.Isolate(s.node().ID), s.Draw)
	return s.openPeers, nil
}

func anyGraph(_ context.Context, s *Soak) (func() error, error) {
	s.Cluster.Mesh.Shape(Graph(s.Draw.IntN(Graphs)), s.Draw)
	return s.openPeers, nil
}

func resetLinks(_ context.Context, s *Soak) (func() error, error) {
	for _, n := range s.Cluster.Nodes[1:] {
		p, _ := s.Cluster.Mesh.Between(1, n.ID)
		p.Reset()
	}
	return nil, nil
}

func harmFrames(_ context.Context, s *Soak) (func() error, error) {
	s.Cluster.Mesh.SetPeers(proxy.Rules{Jitter: 3 * time.Millisecond, Odds: proxy.Odds{
		proxy.Lose: 20, proxy.Repeat: 20, proxy.Swap: 20, proxy.Replay: 20, proxy.Garble: 2,
		proxy.Sever: 2, proxy.HalfClose: 1}})
	return s.openPeers, nil
}

func lateRequests(ctx context.Context, s *Soak) (func() error, error) {
	s.Cluster.Mesh.SetClients(proxy.Rules{Delay: time.Millisecond, Jitter: 20 * time.Millisecond})
	for range 5 {
		s.Cluster.Mesh.Before(s.node().ID).Orphan(time.Duration(s.Draw.Int64N(int64(time.Second))))
		s.rest(ctx, 50*time.Millisecond, 300*time.Millisecond)
	}
	return s.openClients, nil
}

func silentConns(_ context.Context, s *Soak) (func() error, error) {
	p := s.Cluster.Mesh.Before(s.node().ID)
	p.SetBoth(proxy.Rules{Gate: proxy.Hold})
	return s.openClients, nil
}

func slowNode(_ context.Context, s *Soak) (func() error, error) {
	n := s.node()
	for _, other := range s.Cluster.Nodes {
		if other != n {
			s.Cluster.Mesh.Set(other.ID, n.ID, proxy.Rules{BytesPerSecond: 20 << 10})
		}
	}
	return s.openPeers, nil
}

// cutPower takes the power of one node or of all.
func cutPower(_ context.Context, s *Soak) (func() error, error) {
	nodes, images := s.Cluster.Nodes, s.Images
	if s.Draw.IntN(2) == 0 {
		i := s.Draw.IntN(len(nodes))
		nodes, images = nodes[i:i+1], images[i:i+1]
	}
	return nil, CutPower(15*time.Second, nodes, images)
}
