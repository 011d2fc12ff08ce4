package faulttest

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runKilledBeforeItsGuardKnows kills lockd run while what it has to tell its guard may
// still be on the way, for every write is slow: whatever the command was, and had
// started, is gone. What it has started says who it is by the name of a file.
func runKilledBeforeItsGuardKnows(t *testing.T, c *Cluster) {
	needStrace(t)
	file := filepath.Join(t.TempDir(), "pid.")
	args := append([]string{"-f", "-qq", "-o", "/dev/null"},
		injections([]string{"write:delay_enter=400000"})...)
	args = append(append(args, lockdPath), atCluster(c, []string{"run", "--lease", "20s",
		"--timeout", "20s", "window", "--", "sh", "-c",
		`sh -c ': > "$1$$"; exec sleep 1000' x "$1" &
		 until test -e "$1"[0-9]*; do :; done
		 kill -9 "$PPID"; wait`, "x", file})...)
	cmd := exec.CommandContext(within(t, 20*time.Second), "strace", args...)
	cmd.WaitDelay = time.Second    // what outlives it has its output
	out, _ := cmd.CombinedOutput() // it ends as lockd run does, which is killed
	found, err := filepath.Glob(file + "*")
	if err != nil || len(found) != 1 {
		t.Fatalf("got %q, %v: no command has run: %v, %s", found, err, cmd.ProcessState, out)
	}
	pid, err := strconv.Atoi(strings.TrimPrefix(found[0], file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // if nobody else did
	if !gone(pid, 5*time.Second) {
		t.Errorf("what the command started, pid %d, outlives lockd run", pid)
	}
}
