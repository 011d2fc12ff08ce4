package faulttest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/client"
)

// slowRun is lockd run with every write 400 ms late.
func slowRun(t *testing.T, c *Cluster, args ...string) *exec.Cmd {
	t.Helper()
	needStrace(t)
	traced := append([]string{"-f", "-qq", "-o", "/dev/null"},
		injections([]string{"write:delay_enter=400000"})...)
	traced = append(append(traced, lockdPath), atCluster(c,
		append([]string{"run", "--lease", "20s", "--timeout", "20s"}, args...))...)
	cmd := exec.CommandContext(within(t, 20*time.Second), "strace", traced...)
	cmd.WaitDelay = time.Second // what outlives it has its output
	return cmd
}

// runStoppedBeforeItBegins stops what is about to become the command, as whoever types
// Ctrl-Z may: the command runs all the same, and the lock is given back.
func runStoppedBeforeItBegins(t *testing.T, c *Cluster, cl *client.Client) {
	cmd := slowRun(t, c, "stopped early", "--", "echo", "it ran")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 20*time.Second)
	pid := starterOf(t, "it ran")
	for ; pid == 0; pid = starterOf(t, "it ran") {
		if ctx.Err() != nil {
			t.Fatal("nothing waits to become the command")
		}
		pause(ctx, 5*time.Millisecond)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "it ran") {
		t.Errorf("got %v and %q, want the command to have run", err, out.String())
	}
	free(t, cl, "stopped early")
}

// starterOf is the process that waits to become a command with an argument, zero if
// there is none.
func starterOf(t *testing.T, argument string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		line, _ := os.ReadFile(path) // a process may be gone
		words := strings.Split(string(line), "\x00")
		if words[0] == "lockd-start" && slices.Contains(words, argument) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	return 0
}

// runKilledBeforeItsGuardKnows kills lockd run while what it has to tell its guard may
// still be on the way, for every write is slow: whatever the command was, and had
// started, is gone. What it has started says who it is by the name of a file.
func runKilledBeforeItsGuardKnows(t *testing.T, c *Cluster) {
	file := filepath.Join(t.TempDir(), "pid.")
	cmd := slowRun(t, c, "window", "--", "sh", "-c",
		`sh -c ': > "$1$$"; exec sleep 1000' x "$1" &
		 until test -e "$1"[0-9]*; do :; done
		 kill -9 "$PPID"; wait`, "x", file)
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
