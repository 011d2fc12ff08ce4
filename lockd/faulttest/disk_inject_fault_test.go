//go:build fault

package faulttest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// injection is one row of F-D5.
type injection struct {
	// where is wal or checkpoint, and limits what is touched to the files that
	// are there now; empty touches every call of the process.
	where string
	// expressions say what happens to which call, and how often.
	expressions []string
	// ends says that the node must end, and with which words besides advice.
	ends []string
}

// TestFD5InjectedFault is F-D5: calls of a node under load fail as they do on a
// broken or full disk. What the log needs ends the node, at the first failure
// and never at a later one, with the error, advice and exit code 1; what can
// be done again later does not. Nothing that was answered is lost, and the
// others go on.
//
// It fails if a failed sync or write of the log is passed over or tried again
// (I11: wal, Writer.fail and Node.Turn), and if the store of checkpoints goes
// on after a failed sync (checkpoint, logger.Fatalf).
func TestFD5InjectedFault(t *testing.T) {
	needStrace(t)
	r := newRigOn(t, 50, func(*Cluster) {}, "--checkpoint", "64KiB")
	wal := []string{"the WAL failed", "What to do: "}
	checkpoints := []string{"the checkpoints failed", "What to do: "}
	eio := append(wal, "input/output error")
	full := append(wal, "no space left on device")
	short := append(wal, "short write")
	any := []string{"input/output error", "What to do: "}
	rows := []injection{
		{"wal", []string{"fdatasync:error=EIO:when=1"}, eio},
		{"", []string{"fdatasync:error=EIO:when=7"}, any},
		{"", []string{"fdatasync:error=EIO:when=29"}, any},
		{"wal", []string{"fdatasync:error=ENOSPC:when=1"}, full},
		{"", []string{"pwritev:error=EIO:when=1"}, eio},
		{"", []string{"pwritev:error=EIO:when=13"}, eio},
		{"", []string{"pwritev:error=ENOSPC:when=5"}, full},
		{"", []string{"pwritev:retval=512:when=4"}, short},
		{"", []string{"pwritev:retval=0:when=2"}, short},
		{"", []string{"renameat:error=EIO:when=1+"}, eio},
		{"", []string{"renameat:error=ENOSPC:when=1+"}, full},
		{"", []string{"fsync:error=EIO:when=1+"}, any},
		{"checkpoint", []string{"fdatasync:error=EIO:when=1+"}, checkpoints},
		{"checkpoint", []string{"fdatasync:error=ENOSPC:when=1+"}, checkpoints},
		{"checkpoint", []string{"write:error=EIO:when=1+"}, checkpoints},
		{"", []string{"fallocate:error=ENOSPC:when=1"}, nil},
		{"", []string{"unlinkat:error=EIO:when=1+"}, any},
		{"checkpoint", []string{"sync_file_range:error=EIO:when=1"}, nil},
	}
	for i, row := range rows {
		name := strings.TrimSpace(row.where + " " + strings.Join(row.expressions, " "))
		if !t.Run(name, func(t *testing.T) { r.injected(t, r.cluster.Nodes[i%3], row) }) {
			return
		}
	}
	r.finish(t)
}

// injected lets calls of one node fail.
func (r *rig) injected(t *testing.T, n *Node, row injection) {
	t.Helper()
	n.forgetLog(t)
	var paths []string
	switch row.where {
	case "wal":
		paths = walFiles(t, n)
	case "checkpoint":
		paths = checkpointFiles(t, n)
	}
	began := time.Now()
	x := inject(t, n, paths, row.expressions...)
	if row.ends != nil {
		endsWith(t, n, row.ends...)
	} else {
		pause(within(t, 3*time.Second), 3*time.Second)
	}
	took := time.Since(began)
	x.end(t)
	if text := n.Log(); strings.Contains(text, "goroutine ") {
		t.Errorf("node %d panicked:\n%s", n.ID, tail(text, 40))
	}
	r.serves(t)
	r.intact(t, "with a node whose disk failed")
	if row.ends == nil && !n.Running() {
		t.Errorf("node %d ended:\n%s", n.ID, tail(n.Log(), 10))
	}
	if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	r.serves(t)
	r.intact(t, "with the node back")
	t.Logf("node %d: %v", n.ID, took.Round(time.Millisecond))
}

// TestFD5FailureWhileStarting lets each kind of call fail while a node starts,
// at its first, second and so on. Either the node can do without, or it ends
// with a message and advice and the next start succeeds: it never hangs, never
// panics, and never goes on with half a directory.
//
// It fails if an error of one of these calls is dropped, or has no advice.
func TestFD5FailureWhileStarting(t *testing.T) {
	needStrace(t)
	r := newRigOn(t, 51, func(*Cluster) {})
	n := r.cluster.Nodes[1]
	ended := 0
	// Pebble's writes are left out: the runtime wakes its poller by the same call.
	for _, call := range []string{"openat", "fdatasync", "fsync", "renameat", "pwritev", "pread64",
		"getdents64", "flock", "unlinkat", "newfstatat"} {
		for k := 1; k <= 5; k += 2 {
			if err := n.Stop(); err != nil {
				t.Fatal(err)
			}
			n.forgetLog(t)
			expression := fmt.Sprintf("%s:error=EIO:when=%d", call, k)
			startInjected(t, n, expression)
			if n.endedOrReady(within(t, 20*time.Second)) {
				ended++
				checkEnd(t, n, expression)
			}
			if err := n.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := r.cluster.Start(within(t, 20*time.Second)); err != nil {
				t.Fatalf("after %s: %v", expression, err)
			}
			r.intact(t, expression)
		}
	}
	r.finish(t)
	t.Logf("the node ended in %d of 30 starts", ended)
	if ended < 8 {
		t.Errorf("the node ended in %d of 30 starts, want at least 8", ended)
	}
}

// endedOrReady waits for either, and reports whether the node has ended.
func (n *Node) endedOrReady(ctx context.Context) bool {
	for ctx.Err() == nil && n.Running() {
		if _, ok := n.Ready(); ok {
			return false
		}
		pause(ctx, 20*time.Millisecond)
	}
	return !n.Running()
}

// checkEnd demands that a node that has ended said why, and what to do.
func checkEnd(t *testing.T, n *Node, when string) {
	t.Helper()
	code, err := n.Wait(within(t, time.Second))
	text := n.Log()
	if err != nil || code != 1 || !strings.Contains(text, "input/output error") ||
		!strings.Contains(text, "What to do: ") || strings.Contains(text, "goroutine ") {
		t.Errorf("%s: got exit code %d (%v) and\n%s\nwant 1, the error and advice", when, code, err,
			tail(text, 300))
	}
}
