package faulttest

import (
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/client"
)

// deafWorker is a shell script that ends by TERM at once and leaves a process of its
// group behind, which that does not end. $1 is where the pid of that is written.
const deafWorker = `sh -c 'trap "" TERM; echo $$ > "$1"; while :; do sleep 0.01; done' x "$1" &
	wait`

// workerPid reads the pid of a process that a command started.
func workerPid(t *testing.T, file string) int {
	t.Helper()
	pid, err := strconv.Atoi(awaitFile(t, file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) }) // if nobody else did
	return pid
}

// runRestOfGroup has a command end by TERM when its lock is about to be lost, and what
// it started not: that is killed before anybody else has the lock, all the same.
func runRestOfGroup(t *testing.T, c *Cluster, cl *client.Client) {
	file := filepath.Join(t.TempDir(), "pid")
	s := startRun(t, c, "--max-hold", "3s", "--kill-grace", "500ms", "rest", "--", "sh", "-c",
		deafWorker, "x", file)
	pid := workerPid(t, file)
	h, err := cl.Lock(within(t, 20*time.Second), "rest")
	if err != nil {
		t.Fatal(err)
	}
	if !gone(pid, 10*time.Millisecond) {
		t.Error("what the command started runs on while somebody else has the lock")
	}
	if got := s.code(t); got != 79 || !strings.Contains(s.out.String(), "cannot be kept") {
		t.Errorf("got exit code %d and %q, want 79", got, s.out.String())
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
}

// runRestOfGroupStopped stops a command in order: what it started has the time of
// --kill-grace to end as well before the lock is given back, and is not killed then.
func runRestOfGroupStopped(t *testing.T, c *Cluster, cl *client.Client) {
	dir := t.TempDir()
	file, saved := filepath.Join(dir, "pid"), filepath.Join(dir, "saved")
	s := startRun(t, c, "--kill-grace", "3s", "stopped", "--", "sh", "-c",
		`sh -c 'trap "sleep 0.5; echo saved > $2; exit" TERM; echo $$ > "$1"
			while :; do sleep 0.01; done' x "$1" "$2" &
		 wait`, "x", file, saved)
	pid := workerPid(t, file)
	w := StartWaiter(cl, "stopped")
	awaitWaiters(t, cl, "stopped", 1)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h, err := w.Await(within(t, 20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if !gone(pid, 10*time.Millisecond) {
		t.Error("what the command started runs on while somebody else has the lock")
	}
	if got := awaitFile(t, saved); got != "saved" {
		t.Errorf("got %q, want it ended by itself", got)
	}
	if got := s.code(t); got != 128+int(syscall.SIGTERM) {
		t.Errorf("got exit code %d and %q, want %d", got, s.out.String(), 128+15)
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
}

// runRestOfGroupWithoutParent kills lockd run: what the command started dies too.
func runRestOfGroupWithoutParent(t *testing.T, c *Cluster) {
	file := filepath.Join(t.TempDir(), "pid")
	s := startRun(t, c, "--lease", "1s", "orphans", "--", "sh", "-c", deafWorker, "x", file)
	pid := workerPid(t, file)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.code(t)
	if !gone(pid, 5*time.Second) {
		t.Errorf("what the command started, pid %d, lives on after kill -9 of lockd run", pid)
	}
}

// runLeftBehind: a command that ends by itself and leaves something running on purpose
// is not waited for, and what it left is not killed.
func runLeftBehind(t *testing.T, c *Cluster, cl *client.Client) {
	file := filepath.Join(t.TempDir(), "pid")
	s := startRun(t, c, "--kill-grace", "3s", "left", "--", "sh", "-c",
		`sleep 100 >/dev/null 2>&1 & echo $! > "$1"`, "x", file)
	pid := workerPid(t, file)
	if got := s.code(t); got != 0 {
		t.Errorf("got exit code %d and %q, want 0", got, s.out.String())
	}
	free(t, cl, "left")
	if gone(pid, 300*time.Millisecond) {
		t.Error("what the command left running was killed")
	}
}
