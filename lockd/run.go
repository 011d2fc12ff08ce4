package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lockd/client"
)

func runVerb() verb {
	return verb{
		name:  "run",
		args:  "NAME -- CMD [ARG…]",
		brief: "run a command while holding a lock",
		help: `
Waits for the lock, runs the command, gives the lock back and exits with the
command's exit code. The command gets standard input, a process group of its
own, every signal that lockd gets, and LOCKD_NAME, LOCKD_TOKEN (larger at every
grant: let what the lock protects refuse a smaller one) and LOCKD_SESSION in its
environment. It dies with lockd, even by kill -9.

If the cluster cannot renew the lock, the command is told by SIGTERM and then
killed, with its group, before anybody else can be granted the lock.

Exit codes other than the command's own:
    1  the lock is held by others (with -n or -w; -E changes it)
    2  the command line is wrong
   69  no node answers for the lock
   75  the lock was lost before the command started
   77  the cluster does not permit it
   79  the lock was lost while the command ran, whatever became of the command
  126  the command cannot be run
  127  the command is not found
  128+N  the command was ended by signal N`,
		begin: func(flags *flag.FlagSet) action {
			r := &runner{}
			r.cluster.declare(flags)
			flags.BoolVar(&r.try, "n", false, "do not wait: fail at once if the lock is held")
			flags.DurationVar(&r.wait, "w", 0, "wait at most this `long` for the lock")
			flags.IntVar(&r.conflictCode, "E", exitFailure,
				"exit `code` when the lock is held by others")
			flags.BoolVar(&r.shared, "s", false, "share the lock with others who use -s")
			flags.StringVar(&r.permits, "permits", "",
				"take `N/MAX` permits: at most MAX are held by all together")
			flags.UintVar(&r.priority, "priority", 0,
				"`weight` in the queue, 0 to 255: larger is sooner, within bounds")
			r.terms.declare(flags)
			flags.StringVar(&r.onLost, "on-lost", "kill",
				"what to do when the lock is lost: `kill` the command, or only warn")
			flags.DurationVar(&r.lease, "lease", 10*time.Second,
				"how `long` the cluster keeps the lock without hearing from lockd")
			flags.DurationVar(&r.grace, "kill-grace", 2*time.Second,
				"`time` between TERM and KILL, at most a third of the lease")
			return r.run
		},
	}
}

// runner is one call of lockd run.
type runner struct {
	cluster      clusterFlags
	try, shared  bool
	wait         time.Duration
	conflictCode int
	onLost       string
	lease, grace time.Duration
	permits      string // N/MAX, or empty for a lock
	take, of     int    // the two numbers of permits
	priority     uint
	terms        termFlags

	signals chan os.Signal
}

func (r *runner) run(sh *shell, args []string) error {
	name, command, err := r.check(args)
	if err != nil {
		return err
	}
	r.signals = make(chan os.Signal, 16)
	signal.Notify(r.signals, forwarded()...)
	defer signal.Stop(r.signals)

	ctx := context.Background()
	c, err := r.cluster.dial(ctx, sh, client.Options{Name: clientName(), Lease: r.lease})
	if err != nil {
		return err
	}
	h, err := r.acquire(ctx, c, name)
	if err != nil {
		closeClient(c)
		return err
	}
	code := r.underLock(sh, h, command)
	if err := giveBack(c, h); err != nil && !errors.Is(err, client.ErrLost) {
		fmt.Fprintf(sh.err, "lockd: the lock could not be given back, its lease will run out: %v\n",
			err)
	}
	return code
}

// check takes the command line apart.
func (r *runner) check(args []string) (name string, command []string, err error) {
	for i, arg := range args {
		if arg == "--" {
			args, command = args[:i], args[i+1:]
			break
		}
	}
	switch {
	case len(args) == 0:
		return "", nil, failf(exitUsage, "run: NAME is missing: lockd run NAME -- CMD")
	case len(args) > 1 && command == nil:
		return "", nil, failf(exitUsage, "run: write -- before the command: lockd run %s -- %s …",
			args[0], args[1])
	case len(args) > 1:
		return "", nil, failf(exitUsage, "run: unexpected argument %q before --", args[1])
	case len(command) == 0:
		return "", nil, failf(exitUsage, "run: the command is missing: lockd run %s -- CMD", args[0])
	case r.try && r.wait > 0:
		return "", nil, failf(exitUsage, "run: -n and -w exclude each other")
	case r.wait < 0:
		return "", nil, failf(exitUsage, "run: -w is %v, must not be negative", r.wait)
	case r.priority > 255:
		return "", nil, failf(exitUsage, "run: --priority is %d, must be 0 to 255", r.priority)
	case r.conflictCode < 0 || r.conflictCode > 255:
		return "", nil, failf(exitUsage, "run: -E is %d, must be 0 to 255", r.conflictCode)
	case r.onLost != "kill" && r.onLost != "warn":
		return "", nil, failf(exitUsage, "run: --on-lost is %q, must be kill or warn", r.onLost)
	case r.grace < 0 || r.grace > r.lease/3:
		return "", nil, failf(exitUsage, "run: --kill-grace is %v, must be 0 to %v, a third of "+
			"the lease", r.grace, r.lease/3)
	}
	return args[0], command, r.checkPermits()
}

// checkPermits takes --permits apart.
func (r *runner) checkPermits() error {
	if r.permits == "" {
		return nil
	}
	n, all, ok := strings.Cut(r.permits, "/")
	take, err := strconv.ParseUint(n, 10, 31)
	of, err2 := strconv.ParseUint(all, 10, 31)
	switch {
	case !ok || err != nil || err2 != nil || take < 1 || take > of:
		return failf(exitUsage, "run: --permits is %q, must be N/MAX with N from 1 to MAX, as 1/8",
			r.permits)
	case r.shared:
		return failf(exitUsage, "run: -s and --permits exclude each other")
	}
	r.take, r.of = int(take), int(of)
	return nil
}

// forwarded lists the signals that are passed on to the command. The others
// either cannot be caught or have a meaning for lockd or its terminal alone.
func forwarded() []os.Signal {
	return []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGCONT, syscall.SIGWINCH}
}

// acquire gets the lock, or says why not with the right exit code. A signal
// while it waits gives up.
func (r *runner) acquire(ctx context.Context, c *client.Client, name string) (*client.Held, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if r.wait > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, r.wait, errWaited)
		defer stop()
	}
	opts := r.terms.options()
	opts.Weight = uint8(r.priority)
	if r.shared {
		opts.Mode = client.Shared
	}
	type outcome struct {
		held *client.Held
		err  error
	}
	result := make(chan outcome, 1)
	inBackground(func() {
		h, err := r.lock(ctx, c, name, opts)
		result <- outcome{h, err}
	})
	for {
		select {
		case o := <-result:
			return o.held, r.lockFailure(name, o.err)
		case sig := <-r.signals:
			if endsWait(sig) {
				cancel(&failure{code: exitSignal + int(sig.(syscall.Signal))})
			}
		}
	}
}

func (r *runner) lock(ctx context.Context, c *client.Client, name string,
	opts client.LockOptions) (*client.Held, error) {
	switch {
	case r.of > 0 && r.try:
		return c.Semaphore(name, r.of).TryAcquireWith(ctx, r.take, opts)
	case r.of > 0:
		return c.Semaphore(name, r.of).AcquireWith(ctx, r.take, opts)
	case r.try:
		return c.TryLockWith(ctx, name, opts)
	}
	return c.LockWith(ctx, name, opts)
}

// errWaited is the cause of a wait that took too long.
var errWaited = errors.New("waited long enough")

// endsWait says whether a signal ends the wait for the lock.
func endsWait(sig os.Signal) bool {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	}
	return false
}

// lockFailure gives what kept us from the lock its exit code.
func (r *runner) lockFailure(name string, err error) error {
	var asked *failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &asked):
		return asked
	case errors.Is(err, client.ErrHeld):
		return &failure{code: r.conflictCode, err: err}
	case errors.Is(err, errWaited):
		return failf(r.conflictCode, "lock %q is still held by others after %v", name, r.wait)
	case errors.Is(err, client.ErrLost), errors.Is(err, client.ErrSessionEnded):
		return &failure{code: exitLostBefore, err: err}
	default:
		return clientFailure(err)
	}
}

// giveBack releases the lock and ends the client.
func giveBack(c *client.Client, h *client.Held) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := h.Unlock(ctx)
	return errors.Join(err, c.Close(ctx))
}
