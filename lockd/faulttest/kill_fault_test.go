//go:build fault

package faulttest

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// TestFP1KillRandomNode30Rounds is F-P1 for one node at a time.
func TestFP1KillRandomNode30Rounds(t *testing.T) {
	r := newRig(t, 3)
	draw := rand.New(rand.NewPCG(3, 3))
	for range 30 {
		r.round(t, draw.IntN(3))
	}
	r.finish(t)
}

// TestFP1KillAllNodes5Rounds is F-P1 for the whole cluster at once: what was
// granted is granted still when a majority is back.
func TestFP1KillAllNodes5Rounds(t *testing.T) {
	r := newRig(t, 4)
	for round := range 5 {
		for _, n := range r.cluster.Nodes {
			if err := n.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		if err := r.cluster.Start(within(t, 30*time.Second)); err != nil {
			t.Fatal(err)
		}
		up := time.Since(began)
		r.serves(t)
		r.intact(t, "with all nodes back")
		t.Logf("round %d: all ready after %v", round, up.Round(time.Millisecond))
	}
	r.finish(t)
}

// TestFP1CrashLoop kills one node again and again while it starts.
func TestFP1CrashLoop(t *testing.T) {
	r := newRig(t, 5)
	draw := rand.New(rand.NewPCG(5, 5))
	n := r.cluster.Nodes[1]
	for range 20 {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(draw.IntN(300)) * time.Millisecond)
	}
	r.serves(t)
	if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	r.finish(t)
}

// TestFT3PauseRandomNode stops processes for longer than an election timeout
// and lets them go on.
func TestFT3PauseRandomNode(t *testing.T) {
	r := newRig(t, 6)
	draw := rand.New(rand.NewPCG(6, 6))
	for range 8 {
		n := r.cluster.Nodes[draw.IntN(3)]
		if err := n.Pause(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(1000+draw.IntN(3000)) * time.Millisecond)
		r.serves(t)
		if err := n.Resume(); err != nil {
			t.Fatal(err)
		}
		if err := n.AwaitReady(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
		r.serves(t)
		r.intact(t, "after a pause")
	}
	r.finish(t)
}

// TestFT3PauseMajority stops two of three: nothing is granted, nothing is
// forgotten, and all goes on when they do.
func TestFT3PauseMajority(t *testing.T) {
	r := newRig(t, 7)
	for _, n := range r.cluster.Nodes[:2] {
		if err := n.Pause(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(3 * time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := r.load.AwaitGrants(ctx, 5); err == nil {
		t.Error("every lock was granted with one node of three")
	}
	for _, n := range r.cluster.Nodes[:2] {
		if err := n.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	r.serves(t)
	r.intact(t, "after the pause")
	r.finish(t)
}
