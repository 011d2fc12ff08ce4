//go:build fault

package faulttest

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// newCgroup makes a control group that goes when the cluster is gone, or skips.
func newCgroup(t *testing.T) *Cgroup {
	t.Helper()
	g, err := NewCgroup()
	if errors.Is(err, ErrNoCgroups) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 100 { // the kernel takes a moment to let go of what was killed
			if err = g.Close(); err == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Error(err)
	})
	return g
}

// TestFP2StarvedNode is F-P2: one node gets a hundredth of a core for ten
// seconds. It may lose what it leads; the leaders on other nodes must stay, as
// their ballots show, and serve (I29). What protects them, pre-prepares, is taken
// away in TestFN1ReturningNodeDeposesNobody; here its whole effect is shown.
func TestFP2StarvedNode(t *testing.T) {
	limits := newCgroup(t)
	r := newNetRig(t, newCluster(t, 3), 72)
	victim := r.cluster.Nodes[2]
	if err := limits.Add(victim.PID()); err != nil {
		t.Skipf("%v: %v", ErrNoCgroups, err)
	}
	before := ballots(t, r, uint16(victim.ID))
	if err := limits.SetCPU(10); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Second)
	moved := changed(before, ballots(t, r, uint16(victim.ID)))
	if err := limits.SetCPU(0); err != nil {
		t.Fatal(err)
	}
	r.probe.Watch()
	took := r.progress(t, 8*electionTimeout, "with its CPU back")
	if err := victim.AwaitReady(within(t, 20*time.Second)); err != nil {
		t.Error(err)
	}
	t.Logf("%d of %d groups of other leaders moved; all groups served %v after the end", moved,
		len(before), took)
	if moved > 0 {
		t.Errorf("%d groups of healthy leaders moved, want none (I29)", moved)
	}
	r.intact(t, "after starvation")
	r.finish(t)
}

// TestFP2Burners is F-P2 for the whole machine: twice as many endless loops as
// there are cores run beside the nodes for ten seconds. Everything is slow, and
// the leaderships do not wander: on average no group moves.
func TestFP2Burners(t *testing.T) {
	r := newNetRig(t, newCluster(t, 3), 73)
	before := ballots(t, r, 0)
	var burners []*exec.Cmd
	for range 2 * runtime.NumCPU() {
		b := exec.Command("sh", "-c", "while :; do :; done")
		b.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := b.Start(); err != nil {
			t.Fatal(err)
		}
		burners = append(burners, b)
	}
	r.probe.Watch()
	time.Sleep(10 * time.Second)
	longest, _ := r.probe.Longest()
	after := ballots(t, r, 0)
	for _, b := range burners {
		_ = b.Process.Kill() // it may have been killed already
		_ = b.Wait()
	}
	rounds := uint64(0)
	for g, ballot := range before {
		rounds += after[g][0] - ballot[0]
	}
	t.Logf("%d burners: %d new ballots in %d groups, longest wait %v", len(burners), rounds,
		len(before), longest)
	if rounds >= uint64(len(before)) {
		t.Errorf("%d new ballots in %d groups: leaderships flap (I29)", rounds, len(before))
	}
	r.intact(t, "after the burners")
	r.finish(t)
}

// TestFP2MemoryLimit is F-P2: a node is flooded by conns that never read, under a
// limit on memory below what it declares to need. Whether it stays within or the
// kernel kills it, the others serve, and it comes back.
func TestFP2MemoryLimit(t *testing.T) {
	limits := newCgroup(t)
	if err := limits.SetMemory(96 << 20); err != nil {
		t.Fatal(err)
	}
	r := newNetRig(t, newCluster(t, 3, "--inbox", "4MiB", "--outbound", "1MiB"), 74)
	victim := r.cluster.Nodes[2]
	if err := limits.Add(victim.PID()); err != nil {
		t.Skipf("%v: %v", ErrNoCgroups, err)
	}
	var conns []*rawConn
	for range 40 {
		conns = append(conns, dialRaw(t, victim.Client))
	}
	var talkers sync.WaitGroup
	for _, c := range conns {
		talkers.Add(1)
		go func() {
			defer talkers.Done()
			flood(c)
		}()
	}
	talkers.Wait()
	r.probe.Watch()
	took := r.progress(t, 8*electionTimeout, "after the flood")
	alive := victim.AwaitReady(within(t, 20*time.Second)) == nil
	t.Logf("the node lived: %v; all groups served %v after the flood", alive, took)
	if !alive {
		if err := errors.Join(victim.Kill(), victim.Start()); err != nil {
			t.Fatal(err)
		}
		if err := victim.AwaitReady(within(t, 20*time.Second)); err != nil {
			t.Error(err)
		}
	}
	r.intact(t, "after the flood")
	r.finish(t)
}
