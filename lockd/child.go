package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	// killMargin is how long before SafeUntil the group is killed: time for the
	// signal to take effect on a busy machine.
	killMargin = 250 * time.Millisecond
	// watchEvery is how often the lock is looked at while the command runs.
	watchEvery = 50 * time.Millisecond
)

// underLock runs the command and returns its fate as an exit code.
func (r *runner) underLock(sh *shell, h *taken, command []string) error {
	// The kernel ends the child when the thread that started it ends, so this
	// goroutine keeps its thread until the child is gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = sh.in, sh.out, sh.err
	cmd.Env = append(append([]string(nil), sh.env...), h.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if !h.Valid() {
		return h.lostBefore()
	}
	g := startGuard(sh)
	defer g.stop()
	terminal := lendTerminal(sh, cmd)
	defer takeBack(terminal)
	if err := startGuarded(cmd, g, h); err != nil {
		return startFailure(command[0], err)
	}
	w := watch{runner: r, sh: sh, held: h, terminal: terminal, group: cmd.Process.Pid,
		ended: awaitChild(cmd)}
	err := w.run()
	if w.lost {
		text := h.what + " was lost while the command ran"
		if w.spent {
			text += ": " + w.overText()
		}
		return failf(exitLostRunning, "%s", text)
	}
	return childFailure(err)
}

// startFailure follows the shell: 127 for a command that is not there, 126 for
// one that cannot be run. What has an exit code keeps it.
func startFailure(name string, err error) error {
	var known *failure
	if errors.As(err, &known) {
		return known
	}
	var path *fs.PathError
	named := errors.As(err, &path)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		if named && exists(path.Path) {
			return failf(exitNotFound, "%s: its interpreter is not found", name)
		}
		return failf(exitNotFound, "%s: command not found", name)
	}
	if named {
		err = path.Err // it has the name once more, and calls that a fork
	}
	return failf(exitNotRunnable, "%s: %w", name, err)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// childFailure turns the end of the command into an exit code.
func childFailure(err error) error {
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		return err
	}
	if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &failure{code: exitSignal + int(status.Signal())}
	}
	return &failure{code: ended.ExitCode()}
}

// watch looks after a running command: it passes signals on, and when the lock
// cannot be kept it stops the command's group in time. A command that was told to end,
// by a signal or by the loss of the lock, is over when nothing of its group is left:
// what it has started may end later than it does.
type watch struct {
	*runner
	sh       *shell
	held     *taken
	terminal *os.File // that was lent to the command, nil if none was
	group    int
	ended    <-chan error

	told     bool      // by a signal that was passed on
	lost     bool      // the lock was lost or nearly so
	spent    bool      // and that is because its max hold is over
	killAt   time.Time // when KILL follows; zero before TERM
	killedAt time.Time
	endedAt  time.Time // when the command itself ended
}

// run returns when the command is over, how it ended itself.
func (w *watch) run() error {
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	lost, ended := w.held.Lost(), w.ended
	var fate error
	for {
		select {
		case fate = <-ended:
			ended, w.endedAt = nil, time.Now()
		case sig := <-w.patience.signals:
			w.told = w.told || endsWait(sig)
			w.send(sig.(syscall.Signal))
		case <-lost:
			lost = nil
			w.lose()
		case <-look.C:
			w.look()
			w.resume()
		}
		if ended == nil && w.over() {
			return fate
		}
	}
}

// over says of a command that has ended itself whether the rest of its group is not
// waited for: because it was not told to end, because nothing is left, or for long
// enough. The number of a group is in use as long as anything of it lives, and not
// given out again for a long while after.
func (w *watch) over() bool {
	w.reap()
	stopping := !w.killAt.IsZero()
	switch {
	case !w.told && !stopping:
		return true
	case errors.Is(syscall.Kill(-w.group, 0), syscall.ESRCH):
		return true
	case stopping:
		return !w.killedAt.IsZero() && time.Since(w.killedAt) > killMargin
	}
	return time.Since(w.endedAt) > w.grace
}

// reap takes note of what has ended of the group and has come to us with that: where
// lockd is the first process of a container, nobody else would, and it would count as
// left for ever. Requires: the command itself has been waited for.
func (w *watch) reap() {
	for {
		if pid, err := syscall.Wait4(-w.group, nil, syscall.WNOHANG, nil); err != nil || pid <= 0 {
			return
		}
	}
}

// resume has a command go on that was stopped from the terminal (Ctrl-Z): the shell
// there waits for lockd, which goes on, for the lock is to be renewed; so nobody could
// type fg.
func (w *watch) resume() {
	if w.terminal == nil {
		return
	}
	if p := readProcess(strconv.Itoa(w.group)); p.state == "T" && p.front == w.group {
		fmt.Fprintf(w.sh.err, "lockd: the command goes on: it cannot be suspended under a lock\n")
		w.send(syscall.SIGCONT)
	}
}

// send signals the whole group. A group that is gone needs no signal.
func (w *watch) send(sig syscall.Signal) { _ = syscall.Kill(-w.group, sig) }

// look begins to stop the command while there is still time to do it before
// the lock may be granted to others, and ends what it began.
func (w *watch) look() {
	until := w.held.SafeUntil()
	if time.Until(until) < w.grace+killMargin {
		w.lose()
	}
	if w.killAt.IsZero() || !w.killedAt.IsZero() {
		return
	}
	// A hold that is lost has no SafeUntil any more: the zero time is past.
	if limit := until.Add(-killMargin); limit.Before(w.killAt) {
		w.killAt = limit
	}
	if !time.Now().Before(w.killAt) {
		w.killedAt = time.Now()
		w.send(syscall.SIGKILL)
	}
}

// overText says that a max hold has ended what the command ran under.
func (w *watch) overText() string {
	return "its --max-hold of " + spanText(w.terms.maxHold) + " is over"
}

// lose acts once on the loss of the lock, or on its coming.
func (w *watch) lose() {
	if w.lost {
		return
	}
	w.lost, w.spent = true, w.held.spent()
	why := ""
	if w.spent {
		why = ": " + w.overText()
	}
	if w.onLost == "warn" {
		fmt.Fprintf(w.sh.err, "lockd: %s is lost%s; the command goes on without it\n",
			w.held.what, why)
		return
	}
	fmt.Fprintf(w.sh.err, "lockd: %s cannot be kept%s; stopping the command\n", w.held.what, why)
	w.killAt = time.Now().Add(w.grace)
	w.send(syscall.SIGTERM)
	w.send(syscall.SIGCONT)
	w.look()
}
