package main

import (
	"fmt"
	"io"
	"os/exec"
	"os/signal"
	"syscall"
)

// guardName is what a process of ours is called that is a guard and nothing else.
const guardName = "lockd-guard"

// guard is a process beside lockd run. The kernel kills the command when lockd run is
// killed (Pdeathsig), but not what the command has started: the guard does that. It
// learns of the end of lockd run by that of a pipe, which even kill -9 closes.
type guard struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser // belongs to this process alone
}

// startGuard starts one that knows of no group yet. If none can be had, where there is
// no /proc, a command is run without, and who runs it is told.
func startGuard(sh *shell) *guard {
	g := &guard{cmd: exec.Command("/proc/self/exe")}
	g.cmd.Args = []string{guardName}
	// What ends the group of lockd run, or that of the terminal, is not for it.
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if g.pipe, err = g.cmd.StdinPipe(); err == nil {
		err = g.cmd.Start()
	}
	if err != nil {
		fmt.Fprintf(sh.err, "lockd: what the command starts will outlive a kill -9 of lockd: %v\n", err)
		return nil
	}
	return g
}

// watch tells it which group it is to kill. The error is that it has ended.
func (g *guard) watch(group int) error {
	_, err := fmt.Fprintln(g.pipe, group)
	return err
}

// stop ends it, before it can take the end of lockd run for one that was not meant.
func (g *guard) stop() {
	if g == nil {
		return
	}
	_ = g.cmd.Process.Kill()
	_ = g.cmd.Wait() // it was killed, which is no news
}

// beGuard is the life of a guard: it reads of a group, waits for the pipe to end and
// kills the group. It returns an exit code.
func beGuard(in io.Reader) int {
	signal.Ignore(forwarded()...)
	var group int
	if _, err := fmt.Fscanln(in, &group); err != nil || group <= 1 {
		return exitFailure
	}
	_, _ = io.Copy(io.Discard, in) // an error is the end as well
	_ = syscall.Kill(-group, syscall.SIGKILL)
	return exitOK
}
