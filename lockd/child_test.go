package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lockd/client"
	"lockd/netio/wire"
)

// lostHold was granted and is lost.
type lostHold struct{ told chan struct{} }

func (h lostHold) Lost() <-chan struct{}        { return h.told }
func (h lostHold) SafeUntil() time.Time         { return time.Time{} }
func (h lostHold) Valid() bool                  { return false }
func (h lostHold) Unlock(context.Context) error { return client.ErrLost }

// A lock that is lost between its grant and the start of the command is exit code 75,
// and the command is not started.
func TestLostBeforeTheCommandStarts(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	var out bytes.Buffer
	r := &runner{verb: "run", noun: "lock", onLost: "kill"}
	err := r.underLock(&shell{out: &out, err: &out}, &taken{hold: lostHold{}, what: `lock "a"`},
		[]string{"touch", ran})
	if exitCode(err) != exitLostBefore || !strings.Contains(err.Error(), `lock "a" was lost before`) {
		t.Errorf("got %v with exit code %d, want %d", err, exitCode(err), exitLostBefore)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the command was started")
	}
}

// So is one that was taken to be left held, and is over before anybody heard of it.
func TestLostBeforeItIsPrinted(t *testing.T) {
	var out bytes.Buffer
	l := &locker{out: "shell"}
	err := l.print(&shell{out: &out, err: &out}, "a", new(client.Held))
	if exitCode(err) != exitLostBefore || out.Len() > 0 {
		t.Errorf("got %v with exit code %d and %q, want %d", err, exitCode(err), &out, exitLostBefore)
	}
}

// What keeps a verb from a lock has the exit code that the help promises.
func TestExitCodesOfRefusedLocks(t *testing.T) {
	p := &patience{conflictCode: 9}
	for _, row := range []struct {
		err  error
		want int
	}{
		{&client.HeldError{Name: "a"}, 9},
		{&client.KindError{Name: "a", Capacity: 3}, exitFailure},
		{&client.LostError{Name: "a", Cause: errors.New("why")}, exitLostBefore},
		{fmt.Errorf("%w: gone", client.ErrSessionEnded), exitLostBefore},
		{fmt.Errorf("%w: why", client.ErrUnavailable), exitUnavailable},
		{fmt.Errorf("%w: why", client.ErrUnsupported), exitUnavailable},
		{fmt.Errorf("%w: why", client.ErrPermission), exitPermission},
		{fmt.Errorf("%w: why", client.ErrOptions), exitUsage},
		{fmt.Errorf("%w: why", client.ErrTooMuchData), exitFailure},
		{&failure{code: 130}, 130},
		{nil, exitOK},
	} {
		if got := exitCode(p.failure(nil, []string{"a"}, row.err)); got != row.want {
			t.Errorf("%v: got exit code %d, want %d", row.err, got, row.want)
		}
	}
}

// A command that was stopped because its lock was lost is told of with the reason, as
// far as the release learns it; what has ended otherwise is not.
func TestRunSaysWhyTheLockWasLost(t *testing.T) {
	lost := failf(exitLostRunning, `lock "a" was lost while the command ran`)
	forced := &client.LostError{Name: "a", Token: 7, Cause: client.ErrForced}
	got := withReason(lost, errors.Join(forced, nil))
	if want := lost.Error() + ": released by force"; got.Error() != want ||
		exitCode(got) != exitLostRunning {
		t.Errorf("got %q with exit code %d, want %q", got, exitCode(got), want)
	}
	if got := withReason(lost, nil); got != lost {
		t.Errorf("given back in time: got %v, want %v", got, lost)
	}
	for _, fate := range []error{nil, &failure{code: exitLostRunning}, &failure{code: 3}} {
		if got := withReason(fate, forced); got != fate {
			t.Errorf("%v: got %v, want it as it was", fate, got)
		}
	}
}

// A signal ends the wait for good: what was granted in the same moment is handed back
// with the signal's exit code, and nothing is run under it.
func TestSignalWhileTheLockIsGranted(t *testing.T) {
	p := &patience{wait: waitsForEver, signals: make(chan os.Signal, 1)}
	p.signals <- syscall.SIGTERM
	got, err := acquire(p, func(ctx context.Context) (*taken, error) {
		select {
		case <-ctx.Done():
		case <-t.Context().Done():
		}
		return &taken{what: "granted"}, nil
	})
	if exitCode(err) != exitSignal+int(syscall.SIGTERM) || got == nil {
		t.Errorf("got %v and exit code %d, want the hold and %d", got, exitCode(err),
			exitSignal+int(syscall.SIGTERM))
	}
}

// What a command has started may end as a child of lockd, which is the first process of
// a container: then it is over, too, and its time to end is not waited for.
func TestCommandIsOverWhereLockdInherits(t *testing.T) {
	const setSubreaper = 36 // PR_SET_CHILD_SUBREAPER
	inherit := func(yes uintptr) {
		if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, setSubreaper, yes, 0); errno != 0 {
			t.Skipf("what others leave behind cannot be inherited: %v", errno)
		}
	}
	inherit(1)
	defer inherit(0)
	cmd := exec.Command("sh", "-c", "sleep 600 & echo started; wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("got %q and %v", line, err)
	}
	w := watch{runner: &runner{grace: time.Minute}, group: cmd.Process.Pid, told: true}
	w.send(syscall.SIGTERM)
	_ = cmd.Wait() // it was killed, which is no news
	w.endedAt = time.Now()
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for limit := time.After(10 * time.Second); !w.over(); {
		select {
		case <-look.C:
		case <-limit:
			t.Fatal("nothing but what has ended is left, and it is not over")
		}
	}
}

// A call at a latch, an event or a barrier that may have had its effect is not told as one
// that was refused, which a script may repeat.
func TestExitCodesAtGates(t *testing.T) {
	g := &gateCall{}
	ended := fmt.Errorf("latch: it may have had its effect: %w", client.ErrSessionEnded)
	for _, row := range []struct {
		err  error
		want int
		says string
	}{
		{ended, exitUnavailable, "may have counted"},
		{fmt.Errorf("%w: why", client.ErrProtocol), exitUnavailable, "may have counted"},
		{fmt.Errorf("%w: why", client.ErrUnavailable), exitUnavailable, "why"},
		{fmt.Errorf("%w: why", errWaited), exitFailure, "in vain"},
		{fmt.Errorf("%w: why", client.ErrBroken), exitFailure, "why"},
		{&failure{code: 130}, 130, ""},
	} {
		if got := g.failure("latch down", "a", row.err); exitCode(got) != row.want ||
			!strings.Contains(got.Error(), row.says) {
			t.Errorf("%v: got %v with exit code %d, want %d and %q", row.err, got, exitCode(got), row.want,
				row.says)
		}
	}
}

// A value that is written is not told as one that is not, whatever becomes of the lock.
func TestFateOfAValue(t *testing.T) {
	lost := &client.LostError{Name: "a", Cause: errors.New("why")}
	silent := fmt.Errorf("%w: why", client.ErrUnavailable)
	for _, row := range []struct {
		wrote, back error
		want        int
		says, told  string
	}{
		{nil, nil, exitOK, "", ""},
		{nil, lost, exitOK, "", ""},
		{nil, silent, exitOK, "", "could not be given back"},
		{&failure{code: exitLostBefore, err: lost}, lost, exitLostBefore, "may have been written", ""},
		{&failure{code: exitUnavailable, err: silent}, silent, exitUnavailable, "why", ""},
	} {
		var told bytes.Buffer
		got := valueFate(&shell{err: &told}, row.wrote, row.back)
		text := fmt.Sprint(got)
		if exitCode(got) != row.want || !strings.Contains(text, row.says) ||
			!strings.Contains(told.String(), row.told) || row.told == "" && told.Len() > 0 {
			t.Errorf("%v, %v: got %v with exit code %d and %q, want %d", row.wrote, row.back, got,
				exitCode(got), &told, row.want)
		}
	}
}

// Of all exit codes of check-token one says that a token is stale: no error has it.
func TestErrorIsNoStaleToken(t *testing.T) {
	for want, err := range map[int]error{
		exitUnavailable: errors.New("garbled"), exitUsage: client.ErrBadName,
		exitPermission: client.ErrPermission,
	} {
		if got := exitCode(notStale(err)); got != want {
			t.Errorf("%v: got exit code %d, want %d", err, got, want)
		}
	}
}

// A value that is too long is refused before anybody is asked.
func TestLongValueIsRefusedAtOnce(t *testing.T) {
	text := strings.Repeat("x", wire.MaxValueBytes+1)
	code, _, problems := call("value", "set", "--addr", "127.0.0.1:1", "--timeout", "100ms", "a", text)
	if code != exitUsage || !strings.Contains(problems, "TEXT has 4097 bytes, limit 4096") {
		t.Errorf("got exit code %d and %q, want %d and the limit", code, problems, exitUsage)
	}
}
