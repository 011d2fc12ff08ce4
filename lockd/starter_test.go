package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain makes of this binary what lockd is beside lockd run: a guard, and a starter.
func TestMain(m *testing.M) {
	switch os.Args[0] {
	case guardName:
		os.Exit(beGuard(os.Stdin))
	case starterName:
		os.Exit(offFirstThread(func() int { return beStarter(os.Args) }))
	}
	os.Exit(m.Run())
}

// offFirstThread makes a call on another thread than the first one of the process, as
// may happen to any goroutine.
func offFirstThread(call func() int) int {
	runtime.LockOSThread()
	if syscall.Gettid() != os.Getpid() {
		return call()
	}
	code := make(chan int)
	go func() { code <- offFirstThread(call) }()
	return <-code
}

// askedHold is a hold whose Valid is asked of a test.
type askedHold struct {
	lostHold
	valid func() bool
}

func (h askedHold) Valid() bool { return h.valid() }

// startAsked starts a command as lockd run does. Valid is called when all is ready, right
// before the command is told to begin.
func startAsked(t *testing.T, cmd *exec.Cmd, valid func() bool) error {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	g := startGuard(&shell{err: os.Stderr})
	if g == nil {
		t.Fatal("there is no guard")
	}
	defer g.stop()
	return startGuarded(cmd, g, &taken{hold: askedHold{valid: valid}, what: `lock "a"`})
}

// awaits waits until something is so.
func awaits(t *testing.T, what string, is func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for limit := time.After(10 * time.Second); !is(); {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// isOver says of a child that it has ended.
func isOver(pid int) bool { return readProcess(strconv.Itoa(pid)).state == "Z" }

// waitsToBegin says of a starter that it keeps its pipes for itself: it is ready then.
func waitsToBegin(cmd *exec.Cmd) bool {
	file := "/proc/" + strconv.Itoa(cmd.Process.Pid) + "/fdinfo/" + cmd.Args[1]
	text, _ := os.ReadFile(file)
	_, after, _ := strings.Cut(string(text), "flags:")
	flags, err := strconv.ParseUint(strings.TrimSpace(strings.SplitN(after, "\n", 2)[0]), 8, 64)
	return err == nil && flags&syscall.O_CLOEXEC != 0
}

// A process that ends before it is the command has not run it, whatever ended it: by a
// signal the exit code is that of a command which the signal ended, and nothing is
// printed of it.
func TestStarterThatEndsBeforeItIsTheCommand(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGQUIT} {
		cmd := exec.Command("touch", ran)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := startAsked(t, cmd, func() bool {
			awaits(t, "ready", func() bool { return waitsToBegin(cmd) })
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			awaits(t, "its end", func() bool { return isOver(cmd.Process.Pid) })
			return true
		})
		if code := exitCode(startFailure("touch", err)); err == nil || code != exitSignal+int(sig) ||
			out.Len() > 0 {
			t.Errorf("%v: got %v with exit code %d and %q, want %d and no word", sig, err, code, &out,
				exitSignal+int(sig))
		}
	}
	if exists(ran) {
		t.Error("the command was run")
	}
	cmd := exec.Command("sh", "-c", "exit 2")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err := startFailure("job", (&starter{cmd: cmd, path: "/bin/job"}).ended())
	if exitCode(err) != exitNotRunnable || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("got %v with exit code %d, want %d and how it ended", err, exitCode(err),
			exitNotRunnable)
	}
}

// stopReady stops a process that waits to become a command, when it is ready.
func stopReady(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	awaits(t, "ready", func() bool { return waitsToBegin(cmd) })
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	awaits(t, "its stop", func() bool { return readProcess(pid).state == "T" })
}

// A process that was stopped before it is the command is told to go on, and becomes it.
// If the lock is lost first it is ended, and has never run.
func TestStarterThatIsStopped(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	for _, row := range []struct {
		loses bool
		code  int
	}{{true, exitLostBefore}, {false, 0}} {
		cmd := exec.Command("touch", ran)
		asked := 0
		err := startAsked(t, cmd, func() bool {
			if asked++; asked == 1 {
				stopReady(t, cmd)
			}
			return asked == 1 || !row.loses
		})
		if err == nil {
			err = cmd.Wait()
		}
		if exitCode(err) != row.code || exists(ran) == row.loses {
			t.Errorf("lock lost %v: got %v, ran: %v, want exit code %d", row.loses, err, exists(ran),
				row.code)
		}
		if pid := cmd.Process.Pid; syscall.Kill(pid, 0) != syscall.ESRCH {
			t.Errorf("lock lost %v: process %d is left", row.loses, pid)
		}
	}
}

// A lock that is lost while the processes start is found lost before the command begins.
func TestLostWhileTheCommandIsStarted(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	asked := 0
	h := askedHold{valid: func() bool { asked++; return asked == 1 }}
	var out bytes.Buffer
	r := &runner{verb: "run", noun: "lock", onLost: "kill"}
	err = r.underLock(&shell{in: in, out: &out, err: &out}, &taken{hold: h, what: `lock "a"`},
		[]string{"touch", ran})
	if exitCode(err) != exitLostBefore || !strings.Contains(err.Error(), `lock "a" was lost before`) {
		t.Errorf("got %v with exit code %d, want %d", err, exitCode(err), exitLostBefore)
	}
	if exists(ran) {
		t.Error("the command was run")
	}
}

// A command whose guard has ended is not run: what it starts would outlive lockd.
func TestCommandIsNotRunWithoutItsGuard(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	g := startGuard(&shell{err: os.Stderr})
	if g == nil {
		t.Fatal("there is no guard")
	}
	defer g.stop()
	_ = g.cmd.Process.Kill()
	// Its first thread is over before the others have let its pipe go.
	if _, err := g.cmd.Process.Wait(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("touch", ran)
	valid := func() bool { return true }
	err := startGuarded(cmd, g, &taken{hold: askedHold{valid: valid}})
	if err == nil {
		_ = cmd.Wait()
	}
	if exitCode(err) != exitNotRunnable || exists(ran) {
		t.Errorf("got %v with exit code %d, ran: %v, want %d and no run", err, exitCode(err),
			exists(ran), exitNotRunnable)
	}
}

// The kernel ends the command with the thread that started it, whichever thread of the
// starter has become the command.
func TestCommandEndsWithItsParent(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	started := make(chan error)
	go offFirstThread(func() int { // which ends with its goroutine, as the first does not
		started <- startAsked(t, cmd, func() bool { return true })
		return 0
	})
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	awaits(t, "the end of the command", func() bool { return isOver(cmd.Process.Pid) })
	_ = cmd.Wait()
}

// What cannot be run has the exit code that a shell gives it, and says what is wrong.
func TestCommandsThatCannotBeRun(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, x := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"script": {"#!/no/such/interpreter\n", 0o755},
		"plain":  {"#!/bin/sh\n", 0o644},
		"junk":   {"\x01\x02\x03\x04", 0o755},
	} {
		err := errors.Join(os.WriteFile(name, []byte(x.text), x.mode), os.Chmod(name, x.mode))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		name string
		code int
		says string
	}{
		{"./missing", exitNotFound, "./missing: command not found"},
		{"./script", exitNotFound, "./script: its interpreter is not found"},
		{"./plain", exitNotRunnable, "./plain: permission denied"},
		{"./junk", exitNotRunnable, "./junk: exec format error"},
		{"no-such-command", exitNotFound, "no-such-command: command not found"},
	} {
		err := startAsked(t, exec.Command(row.name), func() bool { return true })
		if err == nil {
			t.Errorf("%s: it was started", row.name)
			continue
		}
		if got := startFailure(row.name, err); exitCode(got) != row.code || got.Error() != row.says {
			t.Errorf("got %q with exit code %d, want %q and %d", got, exitCode(got), row.says, row.code)
		}
	}
}
