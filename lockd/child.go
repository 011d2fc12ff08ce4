package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"runtime"
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
		return failf(exitLostBefore, "%s was lost before the command started", h.what)
	}
	restore := takeTerminal(sh, cmd)
	if err := cmd.Start(); err != nil {
		restore()
		return startFailure(command[0], err)
	}
	w := watch{runner: r, sh: sh, held: h, group: cmd.Process.Pid, ended: awaitChild(cmd)}
	err := w.run()
	restore()
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
// one that cannot be run.
func startFailure(name string, err error) error {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return failf(exitNotFound, "%s: command not found", name)
	}
	return failf(exitNotRunnable, "%s: %w", name, err)
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
// cannot be kept it stops the command's group in time.
type watch struct {
	*runner
	sh    *shell
	held  *taken
	group int
	ended <-chan error

	lost   bool      // the lock was lost or nearly so
	spent  bool      // and that is because its max hold is over
	killAt time.Time // when KILL follows; zero before TERM
	killed bool
}

func (w *watch) run() error {
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	lost := w.held.Lost()
	for {
		select {
		case err := <-w.ended:
			return err
		case sig := <-w.patience.signals:
			w.send(sig.(syscall.Signal))
		case <-lost:
			lost = nil
			w.lose()
		case <-look.C:
			w.look()
		}
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
	if w.killAt.IsZero() || w.killed {
		return
	}
	// A hold that is lost has no SafeUntil any more: the zero time is past.
	if limit := until.Add(-killMargin); limit.Before(w.killAt) {
		w.killAt = limit
	}
	if !time.Now().Before(w.killAt) {
		w.killed = true
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
