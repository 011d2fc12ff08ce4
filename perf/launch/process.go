package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"lockd/perf/measure"
)

const (
	readyTimeout = 60 * time.Second
	stopTimeout  = 10 * time.Second
	readyPause   = 5 * time.Millisecond
	// tailBytes is how much of a server's output an error quotes.
	tailBytes = 2 << 10
)

// Command says how to start one server process.
type Command struct {
	// Name is what reports and errors call it; its output goes to Name.log.
	Name string
	// Path is the program, Args what follows it.
	Path string
	Args []string
	// Dir is where it runs, an existing directory.
	Dir string
	// Ready answers nil once the process serves. It is asked again and again.
	Ready func(ctx context.Context) error
}

// Process is one server process. It belongs to one goroutine.
type Process struct {
	command Command
	running *exec.Cmd
	// exited is closed by the waiting goroutine once the process is gone.
	exited chan struct{}
	// spent is the CPU time of earlier lives, from before restarts.
	spent time.Duration
}

// Start starts a process and waits until it is ready. The error quotes the end
// of the process's output.
func Start(ctx context.Context, command Command) (*Process, error) {
	p := &Process{command: command}
	if err := p.Restart(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Restart starts the process again after Kill or Stop, with the same command
// and directory, and waits until it is ready.
func (p *Process) Restart(ctx context.Context) error {
	if err := p.begin(); err != nil {
		return fmt.Errorf("launch: start %s: %w", p.command.Name, err)
	}
	return p.awaitStart(ctx)
}

// awaitStart waits until a process that was begun is ready, and kills it if that
// takes too long.
func (p *Process) awaitStart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := p.awaitReady(ctx); err != nil {
		p.Kill()
		return fmt.Errorf("launch: %s is not ready: %w; its output ends:\n%s",
			p.command.Name, err, p.tail())
	}
	return nil
}

// begin starts the program with its output appended to a file.
func (p *Process) begin() (err error) {
	output, err := os.OpenFile(p.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, output.Close()) }()
	cmd := exec.Command(p.command.Path, p.command.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.command.Dir, output, output
	// In a group of its own it does not see an interrupt meant for perf, which
	// stops it in order; and it dies with perf if perf is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.running, p.exited = cmd, make(chan struct{})
	awaitExit(cmd, p.exited)
	return nil
}

// awaitReady asks Ready until it answers nil, the process ends or ctx does.
func (p *Process) awaitReady(ctx context.Context) error {
	for {
		err := p.command.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("it ended: %s", p.running.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("%w; last answer: %w", ctx.Err(), err)
		case <-time.After(readyPause):
		}
	}
}

// Memory is how many bytes of memory the process has resident; 0 if it is not
// running.
func (p *Process) Memory() (uint64, error) {
	if !p.alive() {
		return 0, nil
	}
	return measure.ResidentBytes(p.running.Process.Pid)
}

// Name is what reports call the process.
func (p *Process) Name() string { return p.command.Name }

// CPU is the CPU time of all the process's lives so far, to 10 ms.
func (p *Process) CPU() (time.Duration, error) {
	if !p.alive() {
		return p.spent, nil
	}
	used, err := measure.ProcessCPU(p.running.Process.Pid)
	return p.spent + used, err
}

func (p *Process) alive() bool {
	if p.running == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Kill ends the process at once, as kill -9 does, and waits until it is gone.
func (p *Process) Kill() {
	p.strike()
	if p.running != nil {
		<-p.exited
	}
}

// strike kills the process without waiting for its end.
func (p *Process) strike() {
	if p.alive() {
		p.account()
		_ = p.running.Process.Kill() // an error: it is gone already
	}
}

// Stop asks the process to end and kills it if it does not. The error says that
// it had to be killed.
func (p *Process) Stop() error {
	if !p.alive() {
		return nil
	}
	p.account()
	_ = p.running.Process.Signal(syscall.SIGTERM) // an error: it is gone already
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopTimeout):
	}
	p.Kill()
	return fmt.Errorf("launch: %s ignored SIGTERM for %v and was killed",
		p.command.Name, stopTimeout)
}

// account keeps the CPU time of a life that is about to end.
func (p *Process) account() {
	if used, err := measure.ProcessCPU(p.running.Process.Pid); err == nil {
		p.spent += used
	}
}

func (p *Process) logPath() string {
	return filepath.Join(p.command.Dir, p.command.Name+".log")
}

// tail is the end of the process's output.
func (p *Process) tail() string {
	text, err := os.ReadFile(p.logPath())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-tailBytes):])
}
