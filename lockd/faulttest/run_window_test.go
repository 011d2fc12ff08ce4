package faulttest

import (
	"bytes"
	"errors"
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

// runLostWhileWaiting stops lockd run while it waits, has it granted the lock and lose it
// again, and lets it go on: what it was granted does not count any more, so it waits anew
// and starts the command with a later token.
func runLostWhileWaiting(t *testing.T, c *Cluster, cl *client.Client) {
	ctx := within(t, 60*time.Second)
	out := filepath.Join(t.TempDir(), "token")
	h, err := cl.Lock(ctx, "before")
	if err != nil {
		t.Fatal(err)
	}
	s := startRun(t, c, "--lease", "2s", "before", "--", "sh", "-c", "echo $LOCKD_TOKEN > "+out)
	awaitWaiters(t, cl, "before", 1)
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := h.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	next := takeFromStopped(t, cl, "before", s, h.Token()+2)
	awaitWaiters(t, cl, "before", 1)
	if b, err := os.ReadFile(out); err == nil {
		t.Errorf("the command was run with token %s while another has the lock", b)
	}
	if err := next.Unlock(ctx); err != nil {
		t.Errorf("the new holder was disturbed: %v", err)
	}
	if got := s.code(t); got != 0 {
		t.Fatalf("got exit code %d and %q, want 0", got, s.out.String())
	}
	if token, err := strconv.ParseUint(awaitFile(t, out), 10, 64); err != nil ||
		token <= next.Token() {
		t.Errorf("got token %d, %v, want one after %d", token, err, next.Token())
	}
}

// takeFromStopped takes a lock when what a stopped lockd run was granted has come free with
// its session, and lets that go on.
func takeFromStopped(t *testing.T, cl *client.Client, name string, s *started,
	least uint64) *client.Held {
	t.Helper()
	next, err := cl.Lock(within(t, 30*time.Second), name)
	if err != nil {
		t.Fatal(err)
	}
	if next.Token() < least {
		t.Fatalf("got token %d, want %d at least: lockd run was granted none before", next.Token(),
			least)
	}
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	return next
}

// runLostBefore stops lockd run when it has the lock and its guard, and nothing yet that
// is to become the command. When it goes on, another has the lock: the exit code is 75,
// the command does not run, and the other is not disturbed.
func runLostBefore(t *testing.T, c *Cluster, cl *client.Client) {
	needStrace(t)
	ctx := within(t, 60*time.Second)
	out := filepath.Join(t.TempDir(), "ran")
	// The guard takes two pipes, and the third is of what is to become the command.
	args := append([]string{"-D", "-f", "-qq", "-o", "/dev/null"},
		injections([]string{"pipe2:signal=SIGSTOP:when=3"})...)
	args = append(append(args, lockdPath), atCluster(c, []string{"run", "--lease", "2s", "granted",
		"--", "touch", out})...)
	s := &started{cmd: exec.CommandContext(ctx, "strace", args...)}
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.WaitDelay = &s.out, &s.out, time.Second
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := awaitHolder(t, cl, "granted")
	next := takeFromStopped(t, cl, "granted", s, first+1)
	if got := s.code(t); got != 75 || !strings.Contains(s.out.String(), "before the command started") {
		t.Errorf("got exit code %d and %q, want 75 and why", got, s.out.String())
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("the command was run")
	}
	if err := next.Unlock(ctx); err != nil {
		t.Errorf("the new holder was disturbed: %v", err)
	}
}

// awaitHolder waits until somebody holds a lock, and returns the token.
func awaitHolder(t *testing.T, cl *client.Client, name string) uint64 {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for {
		info, err := cl.Get(ctx, name)
		if err == nil && len(info.Holders) > 0 {
			return info.Holders[0].Token
		}
		if err != nil && !errors.Is(err, client.ErrNotFound) {
			t.Fatal(err)
		}
		pause(ctx, 5*time.Millisecond)
	}
}
