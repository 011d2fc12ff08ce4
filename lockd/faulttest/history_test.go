package faulttest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestHistoryKillOneNode records a few thousand operations while a node is
// killed and brought back, and judges them by both checkers. The long forms are
// in history_fault_test.go.
func TestHistoryKillOneNode(t *testing.T) {
	s := newStudy(t, studyOptions{Workers: 24, Clients: 3, Seed: 1})
	s.awaitSends(t, 1000)
	n := s.cluster.Nodes[0]
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	s.awaitSends(t, 2000)
	if err := s.cluster.Start(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	s.awaitSends(t, 4000)
	s.finish(t)
}

// awaitSends waits until the clients have sent n requests in all.
func (s *study) awaitSends(t *testing.T, n int) {
	t.Helper()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	deadline := time.Now().Add(60 * time.Second)
	for s.book.Len() < n {
		if err := s.failed(); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %d sends in a minute, want %d", s.book.Len(), n)
		}
		<-poll.C
	}
}

// harm does one thing to the cluster or to a client, and undoes it.
//
//lint:ignore U1000 tests with the fault tag use it
func (s *study) harm(t *testing.T, draw *rand.Rand) string {
	t.Helper()
	node := s.cluster.Nodes[draw.IntN(len(s.cluster.Nodes))]
	line := s.lines[draw.IntN(len(s.lines))]
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	rest := func(most int) { time.Sleep(time.Duration(draw.IntN(most)) * time.Millisecond) }
	switch kind := draw.IntN(20); {
	case kind < 9:
		check(node.Kill())
		rest(1000)
		check(s.cluster.Start(within(t, 60*time.Second)))
		return fmt.Sprintf("kill node %d", node.ID)
	case kind < 13:
		check(node.Pause())
		rest(3000)
		check(node.Resume())
		return fmt.Sprintf("pause node %d", node.ID)
	case kind < 14:
		for _, n := range s.cluster.Nodes {
			check(n.Kill())
		}
		rest(300)
		check(s.cluster.Start(within(t, 60*time.Second)))
		return "kill all nodes"
	case kind < 17:
		line.stop()
		time.Sleep(studyLease/2 + time.Duration(draw.Int64N(int64(studyLease))))
		line.resume()
		return "pause a client"
	default:
		check(s.replace(t, line))
		return "lose a client"
	}
}
