package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// starterName is what a process of ours is called that waits to become a command. Its
// arguments are the number of the pipe by which a byte comes when it is to begin, or an
// end if it never is; that of the pipe by which it tells how it went; the process that
// started it; the path of the command, and the arguments of that from its name on.
const starterName = "lockd-start"

// starterBegins is what a starter tells right before it becomes the command. An error
// that keeps it from that, as a number, may follow; an end without this byte is that of
// a process which has never been the command.
const starterBegins = 'x'

// starter is a process that waits to become a command, seen from lockd.
type starter struct {
	cmd          *exec.Cmd
	path         string   // of the command
	told, failed *os.File // our ends of its pipes
}

// startGuarded starts a command whose guard knows of its group before it runs. Were it
// told after, the command could begin, and start others, and lockd be killed before
// the guard has heard of any. So it is a starter at first, in the group of the command,
// that ends with lockd: only when what the guard needs is in its pipe, which outlives
// lockd, and the lock is held still, does it become the command. Without a guard the
// command starts at once.
func startGuarded(cmd *exec.Cmd, g *guard, h *taken) error {
	if g == nil || cmd.Err != nil {
		if !h.Valid() {
			return h.lostBefore()
		}
		return cmd.Start()
	}
	s, err := newStarter(cmd)
	if err != nil {
		return err
	}
	defer s.close()
	if err := g.watch(cmd.Process.Pid); err != nil {
		return s.giveUp(failf(exitNotRunnable, "%s: its guard has ended: %w", s.path, err))
	}
	if !h.Valid() { // it takes a while to start two processes
		return s.giveUp(h.lostBefore())
	}
	return s.begin(h)
}

// newStarter starts the starter of a command. Its pipes have whatever numbers are free,
// so that all that lockd was given open by whoever started it is open to the command
// under the same number. Nobody else may start a process meanwhile, for that would get
// the pipes too: lockd run starts a guard before and nothing else, on one goroutine.
func newStarter(cmd *exec.Cmd) (*starter, error) {
	begin, told, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer begin.Close()
	failed, fail, err := os.Pipe()
	if err != nil {
		told.Close()
		return nil, err
	}
	defer fail.Close()
	s := &starter{cmd: cmd, path: cmd.Path, told: told, failed: failed}
	args := []string{starterName}
	for _, f := range []*os.File{begin, fail} {
		fd := f.Fd()
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETFD, 0); errno != 0 {
			s.close()
			return nil, os.NewSyscallError("fcntl", errno)
		}
		args = append(args, strconv.Itoa(int(fd)))
	}
	args = append(args, strconv.Itoa(os.Getpid()), s.path)
	cmd.Args, cmd.Path = append(args, cmd.Args...), "/proc/self/exe"
	if err := cmd.Start(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close closes what is open to it. One that waits ends by that.
func (s *starter) close() {
	s.told.Close()
	s.failed.Close()
}

// giveUp ends one that is not to become the command, because of err.
func (s *starter) giveUp(err error) error {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // it was killed, which is no news
	return err
}

// begin has it become the command, and returns when it has. One that is stopped, as from
// a terminal, is told to go on, as the command would be; it is ended if the lock is lost.
func (s *starter) begin(h *taken) error {
	// One that has ended is told nothing, and tells nothing.
	_, _ = s.told.Write([]byte{'\n'})
	s.told.Close()
	said := make(chan []byte, 1)
	inBackground(func() {
		text, _ := io.ReadAll(s.failed)
		said <- text
	})
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for {
		select {
		case text := <-said:
			return s.fate(text)
		case <-look.C:
			if !h.Valid() {
				return s.giveUp(h.lostBefore())
			}
			_ = s.cmd.Process.Signal(syscall.SIGCONT) // one that has ended needs none
		}
	}
}

// fate is what has become of one that has said so much.
func (s *starter) fate(text []byte) error {
	switch len(text) {
	case 0:
		return s.ended()
	case 1:
		return nil
	}
	_ = s.cmd.Wait() // it says no more than that it has ended
	n, _ := strconv.Atoi(string(text[1:]))
	return &fs.PathError{Op: "exec", Path: s.path, Err: syscall.Errno(n)}
}

// ended is the fate of a command whose starter has ended before it was one: a signal
// may have been for the command.
func (s *starter) ended() error {
	var f *failure
	if fate := childFailure(s.cmd.Wait()); errors.As(fate, &f) && f.code > exitSignal {
		return fate
	}
	return failf(exitNotRunnable, "%s: it was not started: what was to become it has ended (%s)",
		s.path, s.cmd.ProcessState)
}

// beStarter is the life of a starter. It returns an exit code.
func beStarter(args []string) int {
	if len(args) < 6 {
		return exitFailure
	}
	var numbers [3]int
	for i := range numbers {
		n, err := strconv.Atoi(args[1+i])
		if err != nil {
			return exitFailure
		}
		numbers[i] = n
	}
	begin, fail, parent := numbers[0], numbers[1], numbers[2]
	quitInSilence()
	syscall.CloseOnExec(begin)
	syscall.CloseOnExec(fail)
	var b [1]byte
	if n, _ := os.NewFile(uintptr(begin), "begin").Read(b[:]); n != 1 {
		return exitFailure
	}
	// The kernel keeps for a thread that it ends with its parent, and of all threads the
	// one that becomes the command may be another than the one it was told of.
	runtime.LockOSThread()
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG,
		uintptr(syscall.SIGKILL), 0)
	if errno != 0 || os.Getppid() != parent {
		return exitFailure
	}
	_, _ = syscall.Write(fail, []byte{starterBegins})
	err := syscall.Exec(args[4], args[5:], os.Environ())
	if errno, ok := err.(syscall.Errno); ok {
		_, _ = syscall.Write(fail, strconv.AppendInt(nil, int64(errno), 10))
	}
	return exitNotRunnable
}

// quitInSilence has SIGQUIT end this process by an exit code: the runtime of Go would
// print what its goroutines do, of which whoever typed it knows nothing.
func quitInSilence() {
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	inBackground(func() {
		<-quit
		os.Exit(exitSignal + int(syscall.SIGQUIT))
	})
}
