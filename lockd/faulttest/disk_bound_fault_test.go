//go:build fault

package faulttest

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/client"
)

// tightLog are flags for a log that is at its bound within seconds once no
// checkpoint frees anything.
func tightLog() []string {
	return []string{"--wal-segment", "256KiB", "--wal-segments", "3", "--wal-segments-max", "7",
		"--batch", "64KiB", "--checkpoint", "64KiB"}
}

// TestFD10LogAtItsBound keeps all nodes from saving checkpoints, so that their
// logs fill up to the bound. Before they are full, new locks are refused as
// busy; what is held is renewed and given back, questions are answered, and no
// node has to end (I33). When checkpoints are saved again, so are locks granted.
//
// It fails without the refusal (Node.admit, for a cramped log).
func TestFD10LogAtItsBound(t *testing.T) {
	images, _ := imagesFor(t, imageBytes, Ext4, Ext4, Ext4)
	c := newCluster(t, 3, "--wal-segments-max", "6")
	for i, n := range c.Nodes {
		moveCheckpoints(t, n, images[i])
	}
	if err := c.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, im := range images {
			if im.frozen {
				_ = im.Thaw() // or no node on it can be killed
			}
		}
	})
	r := startRig(t, c, 101)
	idle := idleSession(t, r)
	for _, im := range images {
		if err := im.Freeze(); err != nil {
			t.Fatal(err)
		}
	}
	busy := func() float64 { return metricAll(t, r.cluster, "lockd_requests_busy_total", "") }
	began, before := time.Now(), busy()
	for ctx := within(t, 90*time.Second); busy() < before+100; pause(ctx, 100*time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("nobody was refused within 90 seconds, room %v of node 1",
				metric(t, r.cluster.Nodes[0], "lockd_wal_room_bytes", ""))
		}
	}
	t.Logf("refused after %v", time.Since(began).Round(time.Millisecond))
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); {
		if err := r.keep.Check(within(t, 20*time.Second)); err != nil {
			t.Fatalf("while locks are refused: %v", err)
		}
		pause(within(t, time.Second), 100*time.Millisecond)
	}
	if err := idle.Unlock(within(t, 10*time.Second)); err != nil {
		t.Errorf("giving a lock back while new ones are refused: %v", err)
	}
	for _, n := range r.cluster.Nodes {
		t.Logf("node %d: %v segments, room %v bytes", n.ID, metric(t, n, "lockd_wal_segments", ""),
			metric(t, n, "lockd_wal_room_bytes", ""))
	}
	for _, im := range images {
		if err := im.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	freed := time.Now()
	r.serves(t)
	r.intact(t, "with checkpoints again")
	t.Logf("served %v after checkpoints went on, %v requests refused as busy",
		time.Since(freed).Round(time.Millisecond), busy()-before)
	r.finish(t)
}

// TestFD8NodeThatCannotEndTakesNobody has the checkpoints' disk of one node stand while
// a second signal ends it: a thread that waits for the disk keeps the process until the
// disk moves again. Whoever connects meanwhile is refused at once and goes elsewhere.
//
// It fails if the node only exits (silence).
func TestFD8NodeThatCannotEndTakesNobody(t *testing.T) {
	images, _ := imagesFor(t, imageBytes, Ext4)
	c := newCluster(t, 3)
	moveCheckpoints(t, c.Nodes[2], images[0])
	if err := c.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if images[0].frozen {
			_ = images[0].Thaw() // or the node cannot be killed
		}
	})
	r := startRig(t, c, 102)
	n := c.Nodes[2]
	if err := images[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	slow := func() bool { return strings.Contains(n.Log(), "checkpoints: slow disk") }
	for ctx := within(t, 60*time.Second); !slow(); pause(ctx, 100*time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("no write of node %d waits for its disk:\n%s", n.ID, n.Log())
		}
	}
	stop := func() {
		t.Helper()
		if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	before := len(n.Log())
	stop()
	moved := func() bool { return strings.Contains(n.Log()[before:], "leaderships moved") }
	for ctx := within(t, 30*time.Second); !moved(); pause(ctx, 50*time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("node %d does not stop:\n%s", n.ID, n.Log())
		}
	}
	stop() // it is being closed, which the disk keeps from ending
	for ctx := within(t, 3*time.Second); ; pause(ctx, 20*time.Millisecond) {
		conn, err := net.DialTimeout("tcp", n.Client, time.Second)
		if errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		if err == nil {
			err = conn.Close()
		}
		if ctx.Err() != nil {
			t.Fatalf("node %d is still connected to, running %v (%v):\n%s", n.ID, n.Running(), err,
				n.Log())
		}
	}
	if !n.Running() {
		t.Fatalf("node %d has ended: the disk kept no thread, and this shows nothing", n.ID)
	}
	r.intact(t, "while a node cannot end")
	if err := images[0].Thaw(); err != nil {
		t.Fatal(err)
	}
	if code, err := n.Wait(within(t, 20*time.Second)); err != nil || code != 1 {
		t.Errorf("the node ended with %d, %v; want 1", code, err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	r.serves(t)
	r.finish(t)
}

// moveCheckpoints stops a node and puts its checkpoints onto an image.
func moveCheckpoints(t *testing.T, n *Node, im *Image) {
	t.Helper()
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	from, to := filepath.Join(n.Dir, "checkpoint"), filepath.Join(im.Path(), "checkpoint")
	err := errors.Join(os.CopyFS(to, os.DirFS(from)), os.RemoveAll(from), os.Symlink(to, from))
	if err != nil {
		t.Fatal(err)
	}
}

// TestFD9SkewedLoadBoundsTheLog is F-D9 on real nodes: nearly all records are of
// one group, while others hold locks that nobody touches. The log turns over
// many times, and yet takes no more files than it may: the few live records of
// the idle groups are moved along and pin nothing (I22), and are there after all
// nodes were killed (I10).
//
// It fails without copying forward, or without releasing what a checkpoint
// covers (wal, Writer.chooseVictim; node, release).
func TestFD9SkewedLoadBoundsTheLog(t *testing.T) {
	c := newStoppedCluster(t, 3, tightLog()...)
	if err := c.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	holder := dial(t, c, client.Options{Name: "holder", Lease: 10 * time.Minute})
	other := dial(t, c, client.Options{Name: "other", Lease: 10 * time.Minute})
	keep, err := NewKeep(within(t, 20*time.Second), holder, other, 24)
	if err != nil {
		t.Fatal(err)
	}
	load := StartLoad(LoadOptions{Clients: []*client.Client{dial(t, c, client.Options{Name: "load"})},
		Workers: 32, Names: 1, Groups: groups, Seed: 9})
	t.Cleanup(func() { load.cancel() })
	const turns = 80
	most := make([]float64, len(c.Nodes))
	ctx := within(t, 2*time.Minute)
	for recycled := 0.0; recycled < turns; pause(ctx, 50*time.Millisecond) {
		recycled = turns
		for i, n := range c.Nodes {
			most[i] = max(most[i], metric(t, n, "lockd_wal_segments", ""))
			recycled = min(recycled, metric(t, n, "lockd_wal_recycled_segments_total", ""))
		}
		if ctx.Err() != nil {
			t.Fatalf("the log turned over %v times, want %d", recycled, turns)
		}
	}
	for i, n := range c.Nodes {
		live := metric(t, n, "lockd_wal_live_bytes", "")
		t.Logf("node %d: at most %v segments in use of 7, %d KiB of log on the disk, %.0f KiB live, "+
			"%v records copied", n.ID, most[i], diskBytes(t, filepath.Join(n.Dir, "wal"))>>10,
			live/1024, metric(t, n, "lockd_wal_copied_records_total", ""))
		if live > 256<<10 {
			t.Errorf("node %d: got %.0f bytes live, want at most %d with checkpoints after 64 KiB", n.ID,
				live, 256<<10)
		}
		if most[i] > 5 {
			t.Errorf("node %d: got up to %v segments in use, want at most 5 with a target of 3", n.ID,
				most[i])
		}
		if got, want := diskBytes(t, filepath.Join(n.Dir, "wal")), int64(9*256<<10); got > want {
			t.Errorf("node %d: got %d bytes of log, want at most %d", n.ID, got, want)
		}
	}
	for _, n := range c.Nodes {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Start(within(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := load.AwaitGrants(within(t, 20*time.Second), 5); err != nil {
		t.Fatal(err)
	}
	if err := load.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := keep.Check(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := keep.PassOn(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d grants", load.Grants.Load())
}

// diskBytes is the size of all files below a directory. Files come and go.
func diskBytes(t *testing.T, dir string) int64 {
	t.Helper()
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
