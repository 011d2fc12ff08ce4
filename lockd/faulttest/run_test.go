package faulttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// started is a lockd run in the background.
type started struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// startRun starts lockd run with some arguments.
func startRun(t *testing.T, c *Cluster, args ...string) *started {
	t.Helper()
	return startVerb(t, c, append([]string{"run"}, args...)...)
}

// startVerb starts a verb of lockd with some arguments.
func startVerb(t *testing.T, c *Cluster, args ...string) *started {
	t.Helper()
	s := &started{}
	args = atCluster(c, args)
	s.cmd = exec.CommandContext(within(t, 60*time.Second), lockdPath, args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	// A grandchild that outlives its parents must not keep the test waiting.
	s.cmd.WaitDelay = 5 * time.Second
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// atCluster adds the addresses of a cluster to a command line, behind the verb, which
// may have two words.
func atCluster(c *Cluster, args []string) []string {
	words := 1
	switch args[0] {
	case "election", "cluster", "latch", "event", "barrier", "value":
		words = 2
	}
	return slices.Insert(slices.Clone(args), words, "--addr", strings.Join(c.Addresses(), ","))
}

// code waits for the end and returns the exit code.
func (s *started) code(t *testing.T) int {
	t.Helper()
	if err := s.cmd.Wait(); err != nil && s.cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode()
}

// awaitFile waits until a file has content and returns it.
func awaitFile(t *testing.T, path string) string {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for {
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			return strings.TrimSpace(string(b))
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s is not written", path)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// gone reports whether a process ends within a while.
func gone(pid int, within time.Duration) bool {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			return true
		}
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && strings.Contains(string(state), ") Z ") {
			return true // ended, and nobody has asked for its exit code
		}
	}
	return false
}

// TestRun is the contract of lockd run, on one cluster.
func TestRun(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "test"})
	t.Run("ExitCodes", func(t *testing.T) { runExitCodes(t, c) })
	t.Run("Conflict", func(t *testing.T) { runConflict(t, c, cl) })
	t.Run("Permits", func(t *testing.T) { runPermits(t, c, cl) })
	t.Run("InputAndEnvironment", func(t *testing.T) { runInputAndEnvironment(t, c) })
	t.Run("Priority", func(t *testing.T) { runPriority(t, c, cl) })
	t.Run("GroupKilled", func(t *testing.T) { runGroupKilled(t, c, cl) })
	t.Run("RestOfGroup", func(t *testing.T) { runRestOfGroup(t, c, cl) })
	t.Run("RestOfGroupStopped", func(t *testing.T) { runRestOfGroupStopped(t, c, cl) })
	t.Run("RestOfGroupWithoutParent", func(t *testing.T) { runRestOfGroupWithoutParent(t, c) })
	t.Run("KilledBeforeItsGuardKnows", func(t *testing.T) { runKilledBeforeItsGuardKnows(t, c) })
	t.Run("StoppedBeforeItBegins", func(t *testing.T) { runStoppedBeforeItBegins(t, c, cl) })
	t.Run("LeftBehind", func(t *testing.T) { runLeftBehind(t, c, cl) })
	t.Run("InheritedSignals", func(t *testing.T) { runInheritedSignals(t, c) })
	t.Run("InheritedFiles", func(t *testing.T) { runInheritedFiles(t, c) })
	t.Run("Terminal", func(t *testing.T) { runOnTerminal(t, c) })
	t.Run("SignalsReachTheGroup", func(t *testing.T) { runSignals(t, c, cl) })
	t.Run("EverySignal", func(t *testing.T) { runEverySignal(t, c) })
	t.Run("SignalWhileWaiting", func(t *testing.T) { runSignalWhileWaiting(t, c, cl) })
	t.Run("MaxHold", func(t *testing.T) { runMaxHold(t, c, cl) })
	t.Run("Forced", func(t *testing.T) { runForced(t, c, cl) })
	t.Run("DiesWithParent", func(t *testing.T) { runDiesWithParent(t, c, cl) })
	t.Run("FT4Paused", func(t *testing.T) { runPaused(t, c, cl) })
	t.Run("Several", func(t *testing.T) { runSeveral(t, c, cl) })
	t.Run("LostWhileWaiting", func(t *testing.T) { runLostWhileWaiting(t, c, cl) })
	t.Run("LostBefore", func(t *testing.T) { runLostBefore(t, c, cl) })
	t.Run("NoMajority", runWithoutMajority)
	t.Run("LostWhileRunning", func(t *testing.T) { runLost(t, c) })
	t.Run("Unavailable", func(t *testing.T) {
		code, out := lockd(t, "run", "--addr", c.Nodes[0].Client, "--timeout", "300ms", "x", "--",
			"true")
		if code != 69 {
			t.Errorf("no cluster: got exit code %d and %q, want 69", code, out)
		}
	})
}

func runExitCodes(t *testing.T, c *Cluster) {
	for _, row := range []struct {
		command []string
		want    int
	}{
		{[]string{"true"}, 0},
		{[]string{"sh", "-c", "exit 42"}, 42},
		{[]string{"sh", "-c", "kill -9 $$"}, 128 + 9},
		{[]string{"no-such-command"}, 127},
		{[]string{"/"}, 126},
	} {
		s := startRun(t, c, append([]string{"codes", "--"}, row.command...)...)
		if got := s.code(t); got != row.want {
			t.Errorf("%q: got exit code %d and %q, want %d", row.command, got, s.out.String(), row.want)
		}
	}
}

func runConflict(t *testing.T, c *Cluster, cl *client.Client) {
	h, err := cl.Lock(within(t, 10*time.Second), "conflict")
	if err != nil {
		t.Fatal(err)
	}
	s := startRun(t, c, "-n", "conflict", "--", "true")
	if got := s.code(t); got != 1 || !strings.Contains(s.out.String(), "holder : test") {
		t.Errorf("-n: got exit code %d and %q, want 1 and the holder", got, s.out.String())
	}
	began := time.Now()
	s = startRun(t, c, "-w", "300ms", "-E", "9", "conflict", "--", "true")
	if got := s.code(t); got != 9 || time.Since(began) < 300*time.Millisecond {
		t.Errorf("-w -E: got exit code %d after %v, want 9 after 300ms", got, time.Since(began))
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	a := startRun(t, c, "-s", "conflict", "--", "sh", "-c", "sleep 1")
	b := startRun(t, c, "-s", "-w", "900ms", "conflict", "--", "true")
	if got := b.code(t); got != 0 {
		t.Errorf("-s beside -s: got exit code %d and %q, want 0", got, b.out.String())
	}
	if got := a.code(t); got != 0 {
		t.Errorf("-s: got exit code %d and %q, want 0", got, a.out.String())
	}
}

func runPermits(t *testing.T, c *Cluster, cl *client.Client) {
	h, err := cl.Semaphore("gpu", 3).Acquire(within(t, 10*time.Second), 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		want int
		says string
	}{
		{[]string{"-n", "--permits", "1/3"}, 0, ""},
		{[]string{"-n", "--permits", "2/3"}, 1, "2 of 3 permits are taken"},
		{[]string{"-w", "300ms", "-E", "9", "--permits", "2/3"}, 9, ""},
		// Another kind is no conflict: -E is not for it.
		{[]string{"-E", "9", "--permits", "1/4"}, 1, "a semaphore of 3 permits"},
		{[]string{"-n", "-E", "9", "-s"}, 1, "a semaphore of 3 permits"},
	} {
		s := startRun(t, c, append(row.args, "gpu", "--", "true")...)
		if got := s.code(t); got != row.want || !strings.Contains(s.out.String(), row.says) {
			t.Errorf("%q: got exit code %d and %q, want %d and %q", row.args, got, s.out.String(),
				row.want, row.says)
		}
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// runPriority proves that the larger weight is served first, whoever came first.
func runPriority(t *testing.T, c *Cluster, cl *client.Client) {
	h, err := cl.Lock(within(t, 10*time.Second), "priority")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "order")
	var all []*started
	for i, weight := range []string{"0", "200"} {
		all = append(all, startRun(t, c, "--priority", weight, "priority", "--", "sh", "-c",
			"echo "+weight+" >> "+out))
		awaitWaiters(t, cl, "priority", i+1)
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if got := s.code(t); got != 0 {
			t.Errorf("got exit code %d and %q, want 0", got, s.out.String())
		}
	}
	if got := awaitFile(t, out); got != "200\n0" {
		t.Errorf("got order %q, want 200 before 0", got)
	}
	if code, _ := lockd(t, "run", "--priority", "256", "x", "--", "true"); code != 2 {
		t.Errorf("--priority 256: got exit code %d, want 2", code)
	}
}

// runGroupKilled proves that a command whose whole group is killed from outside
// gives its lock back at once, and that lockd run, which is not in the group, says
// how it ended.
func runGroupKilled(t *testing.T, c *Cluster, cl *client.Client) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	s := startRun(t, c, "group", "--", "sh", "-c",
		"sleep 1000 & echo $! $$ > "+pidFile+"; wait")
	var inner, outer int
	if _, err := fmt.Sscan(awaitFile(t, pidFile), &inner, &outer); err != nil {
		t.Fatal(err)
	}
	if group, err := syscall.Getpgid(inner); err != nil || group != outer {
		t.Errorf("got group %d of the inner command, %v, want %d", group, err, outer)
	}
	if err := syscall.Kill(-outer, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := s.code(t); got != 128+int(syscall.SIGKILL) {
		t.Errorf("got exit code %d and %q, want %d", got, s.out.String(), 128+int(syscall.SIGKILL))
	}
	if !gone(inner, 5*time.Second) {
		t.Error("the inner command lives on")
	}
	free(t, cl, "group")
}

func runInputAndEnvironment(t *testing.T, c *Cluster) {
	cmd := exec.CommandContext(within(t, 20*time.Second), lockdPath, "run", "--addr",
		c.Nodes[1].Client, "env", "--", "sh", "-c",
		`read line; echo "$line $LOCKD_NAME $((LOCKD_TOKEN > 0)) $((LOCKD_SESSION > 0))"`)
	cmd.Stdin = strings.NewReader("typed\n")
	out, err := cmd.Output()
	if got, want := string(out), "typed env 1 1\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func runSignals(t *testing.T, c *Cluster, cl *client.Client) {
	ready := filepath.Join(t.TempDir(), "ready")
	// Both the shell and what it started must hear of it.
	s := startRun(t, c, "signals", "--", "sh", "-c",
		`sh -c 'trap "exit 0" TERM; while :; do sleep 0.01; done' & inner=$!
		 trap 'wait $inner; echo inner ended with $?; exit 33' TERM
		 echo $$ > `+ready+`; while :; do sleep 0.01; done`)
	awaitFile(t, ready)
	time.Sleep(100 * time.Millisecond)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := s.code(t); got != 33 || !strings.Contains(s.out.String(), "inner ended with") {
		t.Errorf("got exit code %d and %q, want 33 after the inner shell ended", got, s.out.String())
	}
	free(t, cl, "signals")
}

// free demands that a lock can be had at once.
func free(t *testing.T, cl *client.Client, name string) {
	t.Helper()
	h, err := cl.TryLock(within(t, 10*time.Second), name)
	if err != nil {
		t.Fatalf("%q should be free: %v", name, err)
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func runSignalWhileWaiting(t *testing.T, c *Cluster, cl *client.Client) {
	ctx := within(t, 20*time.Second)
	h, err := cl.Lock(ctx, "waiting")
	if err != nil {
		t.Fatal(err)
	}
	s := startRun(t, c, "waiting", "--", "true")
	awaitWaiters(t, cl, "waiting", 1)
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := s.code(t); got != 128+int(syscall.SIGINT) {
		t.Errorf("got exit code %d and %q, want %d", got, s.out.String(), 128+int(syscall.SIGINT))
	}
	awaitWaiters(t, cl, "waiting", 0)
	if err := h.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
}

// awaitWaiters waits until so many wait for a lock.
func awaitWaiters(t *testing.T, cl *client.Client, name string, want int) {
	t.Helper()
	ctx := within(t, 20*time.Second)
	for {
		info, err := cl.Get(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if info.WaiterCount == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func runDiesWithParent(t *testing.T, c *Cluster, cl *client.Client) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	s := startRun(t, c, "--lease", "1s", "--kill-grace", "100ms", "parent", "--", "sh", "-c",
		"echo $$ > "+pidFile+"; exec sleep 1000")
	pid, err := strconv.Atoi(awaitFile(t, pidFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.code(t)
	if !gone(pid, 5*time.Second) {
		t.Errorf("the command, pid %d, lives on after kill -9 of lockd run", pid)
	}
	// Nobody gave the lock back; the lease does.
	h, err := cl.Lock(within(t, 10*time.Second), "parent")
	if err != nil {
		t.Fatalf("the lock of a dead client: %v", err)
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// runPaused is F-T4: a holder that is stopped for longer than its lease loses
// the lock, finds out when it goes on, and stops its command.
func runPaused(t *testing.T, c *Cluster, cl *client.Client) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	s := startRun(t, c, "--lease", "1s", "--kill-grace", "100ms", "paused", "--", "sh", "-c",
		"echo $$ $LOCKD_TOKEN > "+pidFile+"; exec sleep 1000")
	var pid int
	var token uint64
	if _, err := fmt.Sscan(awaitFile(t, pidFile), &pid, &token); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h, err := cl.Lock(within(t, 20*time.Second), "paused")
	if err != nil {
		t.Fatal(err)
	}
	if h.Token() <= token {
		t.Errorf("got token %d after token %d", h.Token(), token)
	}
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := s.code(t); got != 79 {
		t.Errorf("got exit code %d and %q, want 79", got, s.out.String())
	}
	if !gone(pid, 5*time.Second) {
		t.Error("the command lives on without the lock")
	}
	if !h.Valid() {
		t.Error("the new holder was disturbed")
	}
	if err := h.Unlock(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
}

// runMaxHold: with --max-hold the command is stopped in time, and who waits gets
// the lock no later than that, although everything works.
func runMaxHold(t *testing.T, c *Cluster, cl *client.Client) {
	const most = 2 * time.Second
	pidFile := filepath.Join(t.TempDir(), "pid")
	began := time.Now()
	s := startRun(t, c, "--max-hold", most.String(), "--kill-grace", "500ms", "most", "--", "sh",
		"-c", "trap 'echo told' TERM; echo $$ > "+pidFile+"; while :; do sleep 0.01; done")
	pid, err := strconv.Atoi(awaitFile(t, pidFile))
	if err != nil {
		t.Fatal(err)
	}
	info, err := cl.Get(t.Context(), "most")
	if err != nil || info.Holders[0].LeaseLeft > most+time.Second {
		t.Errorf("get: got %+v, %v, want what is left of the max hold", info, err)
	}
	h, err := cl.Lock(within(t, 20*time.Second), "most")
	if err != nil {
		t.Fatal(err)
	}
	if !gone(pid, 0) && !gone(pid, 10*time.Millisecond) {
		t.Error("the command runs on while somebody else has the lock")
	}
	t.Logf("passed on after %v", time.Since(began).Round(time.Millisecond))
	if got := s.code(t); got != 79 || !strings.Contains(s.out.String(), "told") {
		t.Errorf("got exit code %d and %q, want 79 after a TERM", got, s.out.String())
	}
	for _, want := range []string{"cannot be kept: its --max-hold of 2s is over; stopping",
		"was lost while the command ran: its --max-hold of 2s is over"} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("got %q, want it to say %q", s.out.String(), want)
		}
	}
	if err := h.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
	code, out := lockd(t, "run", "--addr", c.Nodes[0].Client, "--max-hold", "1s", "x", "--", "true")
	if code != 2 || !strings.Contains(out, "--kill-grace") {
		t.Errorf("--max-hold below --kill-grace: got exit code %d and %q, want 2", code, out)
	}
}

// runForced ends by force what commands run under, one lock or one of several, and
// wants them stopped with the reason.
func runForced(t *testing.T, c *Cluster, cl *client.Client) {
	for _, names := range [][]string{{"forced"}, {"forced/b", "--also", "forced/a", "--also", "c"}} {
		pidFile := filepath.Join(t.TempDir(), "pid")
		s := startRun(t, c, append(names, "--", "sh", "-c", "echo $$ > "+pidFile+"; exec sleep 50")...)
		awaitFile(t, pidFile)
		info, err := cl.Get(within(t, 10*time.Second), names[0])
		if err != nil {
			t.Fatal(err)
		}
		token := strconv.FormatUint(info.Holders[0].Token, 10)
		if code, out := onCluster(t, c, "release", "--force", "--token", token, "--reason", "test",
			names[0]); code != 0 {
			t.Errorf("release --force: got exit code %d and %q", code, out)
		}
		got, out := s.code(t), s.out.String()
		if got != 79 || !strings.Contains(out, "was lost while the command ran: released by force") {
			t.Errorf("got exit code %d and %q, want 79 and the reason", got, out)
		}
		for _, name := range names {
			if name != "--also" {
				free(t, cl, name)
			}
		}
	}
}

// runLost takes the whole cluster away. The command must be dead before the
// lease, counted from the last renewal that can have been answered, has passed.
func runLost(t *testing.T, c *Cluster) {
	const lease = 3 * time.Second
	pidFile := filepath.Join(t.TempDir(), "pid")
	// A command that ignores TERM has to be killed.
	s := startRun(t, c, "--lease", lease.String(), "--kill-grace", "500ms", "lost", "--", "sh", "-c",
		"trap 'echo told' TERM; echo $$ > "+pidFile+"; while :; do sleep 0.01; done")
	w := startRun(t, c, "--lease", lease.String(), "--kill-grace", "500ms", "--on-lost", "warn",
		"warned", "--", "sh", "-c", "echo $$ > "+pidFile+".warned; exec sleep 4")
	awaitFile(t, pidFile+".warned")
	pid, err := strconv.Atoi(awaitFile(t, pidFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	killed := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), lease)
	defer cancel()
	for !gone(pid, 10*time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("the command runs on %v after the cluster is gone", lease)
		}
	}
	t.Logf("killed %v after the cluster, lease %v", time.Since(killed).Round(time.Millisecond), lease)
	if got := s.code(t); got != 79 || !strings.Contains(s.out.String(), "told") {
		t.Errorf("got exit code %d and %q, want 79 after a TERM", got, s.out.String())
	}
	if got := w.code(t); got != 79 || !strings.Contains(w.out.String(), "goes on without it") {
		t.Errorf("--on-lost warn: got exit code %d and %q, want 79 and a warning", got, w.out.String())
	}
}
