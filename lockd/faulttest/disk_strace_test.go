package faulttest

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// needStrace skips a test where strace is missing or may not trace.
//
//lint:ignore U1000 tests with the fault tag use it
func needStrace(t *testing.T) {
	t.Helper()
	out, err := exec.Command("strace", "-f", "-o", "/dev/null", "true").CombinedOutput()
	if err != nil {
		t.Skipf("strace does not work: %v: %s: apt-get install strace; it needs ptrace", err, out)
	}
}

// startInjected starts a node under strace, which is told by each of these
// expressions what to do to which calls. Calls are counted by thread and by
// name.
//
//lint:ignore U1000 tests with the fault tag use it
func startInjected(t *testing.T, n *Node, expressions ...string) {
	t.Helper()
	n.Prefix = []string{"strace", "-D", "-f", "--seccomp-bpf", "-o", "/dev/null"}
	n.Prefix = append(n.Prefix, injections(expressions)...)
	err := n.Start()
	n.Prefix = nil
	if err != nil {
		t.Fatal(err)
	}
}

// injections are the arguments of strace for these expressions, which begin
// with the names of calls.
//
//lint:ignore U1000 tests with the fault tag use it
func injections(expressions []string) []string {
	var calls, args []string
	for _, e := range expressions {
		names, _, _ := strings.Cut(e, ":")
		calls = append(calls, names)
		args = append(args, "-e", "inject="+e)
	}
	return append([]string{"-e", "trace=" + strings.Join(calls, ",")}, args...)
}

// tracer is an strace that holds on to a running node.
//
//lint:ignore U1000 tests with the fault tag use it
type tracer struct {
	cmd    *exec.Cmd
	output *lockedBuffer
}

// inject attaches strace to a running node. Only calls on the given paths are
// touched, or all if there are none.
//
//lint:ignore U1000 tests with the fault tag use it
func inject(t *testing.T, n *Node, paths []string, expressions ...string) *tracer {
	t.Helper()
	args := []string{"-f", "-p", strconv.Itoa(n.PID()), "-o", "/dev/null"}
	for _, path := range paths {
		args = append(args, "-P", path)
	}
	x := &tracer{cmd: exec.Command("strace", append(args, injections(expressions)...)...),
		output: new(lockedBuffer)}
	x.cmd.Stderr = x.output
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.end(t) })
	ctx := within(t, 10*time.Second)
	for !strings.Contains(x.output.String(), "attached") {
		if ctx.Err() != nil {
			t.Fatalf("strace does not attach to node %d: %s", n.ID, x.output)
		}
		pause(ctx, 2*time.Millisecond)
	}
	return x
}

// end lets go of the node, which goes on with whatever it was held at.
//
//lint:ignore U1000 tests with the fault tag use it
func (x *tracer) end(t *testing.T) {
	t.Helper()
	if x.cmd.ProcessState != nil {
		return
	}
	if err := x.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	// strace waits for each thread it holds; the kernel lets go of them all.
	patience := time.AfterFunc(3*time.Second, func() { _ = x.cmd.Process.Kill() })
	defer patience.Stop()
	// It ends by the signal, or with the node; there is nothing to learn.
	_ = x.cmd.Wait()
}

// walFiles are the files of a node's log, checkpointFiles those of its
// checkpoints.
//
//lint:ignore U1000 tests with the fault tag use it
func walFiles(t *testing.T, n *Node) []string { return filesOf(t, n, "wal") }

//lint:ignore U1000 tests with the fault tag use it
func checkpointFiles(t *testing.T, n *Node) []string { return filesOf(t, n, "checkpoint") }

//lint:ignore U1000 tests with the fault tag use it
func filesOf(t *testing.T, n *Node, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(n.Dir, dir, "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("got %d files in %s of node %d (%v), want some", len(names), dir, n.ID, err)
	}
	return names
}

// lockedBuffer is a bytes.Buffer for a writer and a reader at the same time.
//
//lint:ignore U1000 tests with the fault tag use it
type lockedBuffer struct {
	mu struct {
		sync.Mutex
		bytes.Buffer
	}
}

// Write appends.
//
//lint:ignore U1000 tests with the fault tag use it
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.Write(p)
}

// String returns what was written so far.
//
//lint:ignore U1000 tests with the fault tag use it
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.Buffer.String()
}
