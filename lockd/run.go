package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
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
command's exit code. What a long wait is for is said once on standard error: at a
terminal who is in the way, anywhere that no node answers for the lock.

The command gets standard input, a process group of its own, every signal that lockd
gets, and LOCKD_NAME, LOCKD_TOKEN (larger at every grant: let what the lock protects
refuse a smaller one) and LOCKD_SESSION in its environment. It dies with lockd, even
by kill -9, and so does what it has started, unless that has left its process group.

A command that a signal ends has --kill-grace for what it has started to end too,
before the lock is given back. What a command leaves running when it ends by itself
is not waited for. Signals that are ignored where lockd is started, as by nohup, are
so by the command. It cannot be suspended from the terminal.

With --also it holds several locks, all or none, each with what the flags say.
LOCKD_NAME and LOCKD_TOKEN are then of NAME, LOCKD_TOKENS has a line TOKEN NAME for
each, and there is no LOCKD_SESSION.

If the cluster cannot renew the lock, or when --max-hold is over, the command is
told by SIGTERM and then killed, with its group, before anybody else can be
granted the lock.

Exit codes other than the command's own:
    1  with -n or -w: others hold the lock (-E changes it); always: the name is in
       use as another kind of lock, which -E does not change, or something else
       failed, as the message says
    2  the command line is wrong
   69  no node answers for the lock
   75  the lock was lost before the command started
   77  ` + notPermitted + `
   79  the lock was lost while the command ran, whatever became of the command
  126  the command cannot be run
  127  the command is not found
  128+N  the command was ended by signal N`,
		begin: func(flags *flag.FlagSet) action {
			r := &runner{verb: "run", noun: "lock", kind: "lock"}
			r.declare(flags)
			return r.run
		},
	}
}

// runner is one call of lockd run.
type runner struct {
	verb, noun   string // of the verb: what it is called, and what it holds
	kind         string // of its names: lock or election
	cluster      clusterFlags
	patience     patience
	try          bool
	want         wantFlags
	onLost       string
	lease, grace time.Duration
	priority     int
	terms        termFlags
	names        []string // NAME and those of --also
}

// Bounds of a session lease, whatever the cluster's settings.
const (
	leastLease = time.Second
	mostLease  = time.Hour
)

func (r *runner) declare(flags *flag.FlagSet) {
	r.declareCommand(flags)
	r.want.declare(flags)
	flags.Func("also", "another `name` to hold at the same time, all or none; several times for more",
		func(name string) error {
			r.names = append(r.names, name)
			return nil
		})
	declareNumber(flags, number{to: &r.priority, least: 0, most: 255}, "priority", 0,
		"`weight` in the queue, 0 to 255: larger is sooner, within bounds")
	r.terms.declare(flags)
}

// declareCommand declares the flags of every verb that runs a command.
func (r *runner) declareCommand(flags *flag.FlagSet) {
	r.cluster.declare(flags)
	flags.BoolVar(&r.try, "n", false, "do not wait: fail at once if the "+r.noun+" is held")
	r.patience.declare(flags, r.noun)
	declareNumber(flags, number{to: &r.patience.conflictCode, least: 0, most: 255}, "E", exitFailure,
		"exit `code` when the "+r.noun+" is held by others")
	declareChoice(flags, choice{to: &r.onLost, words: []string{"kill", "warn"}}, "on-lost", "kill",
		"`what` to do when the "+r.noun+" is lost: kill the command, or only warn")
	declareSpan(flags, span{to: &r.lease, least: leastLease, most: mostLease}, "lease",
		10*time.Second, "how `long` the cluster keeps the "+r.noun+" without hearing from lockd, "+
			"1s to 1h")
	declareSpan(flags, span{to: &r.grace}, "kill-grace", -1, "`time` between TERM and KILL, at "+
		"most a third of the lease (default 2s, or a fifth of the lease if that is less)")
}

func (r *runner) run(sh *shell, args []string) error {
	command, err := r.check(args)
	if err != nil {
		return err
	}
	defer r.patience.listen(forwarded()...)()
	c, err := r.patience.dial(&r.cluster, sh, client.Options{Name: clientName(), Lease: r.lease})
	if err != nil {
		return err
	}
	r.patience.notice = newNotice(sh, c, awaited{r.kind, r.names}, r.cluster.timeout)
	t, err := acquire(&r.patience, func(ctx context.Context) (*taken, error) {
		return r.lock(ctx, c)
	})
	if err != nil {
		err = r.patience.failure(c, r.names, err)
		if t != nil {
			return errors.Join(err, giveBack(c, t.hold))
		}
		closeClient(c)
		return err
	}
	fate := r.underLock(sh, t, command)
	if err = giveBack(c, t.hold); err != nil && !errors.Is(err, client.ErrLost) {
		fmt.Fprintf(sh.err, "lockd: the %s could not be given back, its lease will run out: %v\n",
			r.noun, err)
	}
	return withReason(fate, err)
}

// withReason adds to the loss of a lock while the command ran why it was lost, if its
// end, as the release found it, tells.
func withReason(fate, end error) error {
	var f *failure
	var lost *client.LostError
	if !errors.As(fate, &f) || f.code != exitLostRunning || f.err == nil ||
		!errors.As(end, &lost) || strings.Contains(fate.Error(), "--max-hold") {
		return fate // or it says already why
	}
	return failf(exitLostRunning, "%w: %s", fate, strings.TrimPrefix(lost.Cause.Error(), "client: "))
}

// check takes the command line apart and returns the command.
func (r *runner) check(args []string) (command []string, err error) {
	for i, arg := range args {
		if arg == "--" {
			args, command = args[:i], args[i+1:]
			break
		}
	}
	switch {
	case len(args) == 0:
		return nil, failf(exitUsage, "%s: NAME is missing: lockd %s NAME -- CMD", r.verb, r.verb)
	case len(args) > 1 && command == nil:
		return nil, failf(exitUsage, "%s: write -- before the command: lockd %s %s -- %s …",
			r.verb, r.verb, args[0], args[1])
	case len(args) > 1:
		return nil, failf(exitUsage, "%s: unexpected argument %q before --", r.verb, args[1])
	case len(command) == 0:
		return nil, failf(exitUsage, "%s: the command is missing: lockd %s %s -- CMD", r.verb,
			r.verb, args[0])
	case r.try && r.patience.wait >= 0:
		return nil, failf(exitUsage, "%s: -n and -w exclude each other", r.verb)
	}
	if r.try {
		r.patience.wait = 0
	}
	r.patience.timeout = r.cluster.timeout
	r.names = append([]string{args[0]}, r.names...)
	if r.grace < 0 {
		r.grace = min(2*time.Second, r.lease/5)
	}
	if r.grace > r.lease/3 {
		return nil, failf(exitUsage, "%s: --kill-grace is %s, must be 0s to %s, a third of the "+
			"--lease of %s", r.verb, spanText(r.grace), spanText((r.lease / 3).Truncate(time.Millisecond)),
			spanText(r.lease))
	}
	// The command runs before it is stopped.
	least := (r.grace + 2*killMargin) * 10 / 8
	if most := r.terms.maxHold; most > 0 && most < least {
		return nil, failf(exitUsage, "%s: --max-hold is %s, must be at least %s beside a --kill-grace "+
			"of %s", r.verb, spanText(most), spanText(least), spanText(r.grace))
	}
	if err := r.want.check(r.verb); err != nil {
		return nil, err
	}
	return command, r.checkSeveral()
}

// checkSeveral refuses what several names at once cannot be asked for.
func (r *runner) checkSeveral() error {
	if len(r.names) > 1 && r.want.of > 0 {
		return failf(exitUsage, "run: --also and --permits exclude each other: permits are of one "+
			"semaphore, and several names are locks")
	}
	return nil
}

// forwarded lists the signals that are passed on to the command. The others
// either cannot be caught or have a meaning for lockd or its terminal alone.
func forwarded() []os.Signal {
	return []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGCONT, syscall.SIGWINCH}
}

// hold is a hold of one lock or of several.
type hold interface {
	Lost() <-chan struct{}
	SafeUntil() time.Time
	Valid() bool
	Unlock(ctx context.Context) error
}

// taken is a hold, and what the command and people are told of it.
type taken struct {
	hold
	// most says when the max hold is over, nil where there can be none.
	most func() time.Time
	env  []string
	what string // as lock "a"
}

// lostBefore is the failure of a command that is not started, for the lock is lost.
func (t *taken) lostBefore() error {
	return failf(exitLostBefore, "%s was lost before the command started", t.what)
}

// spent reports whether it is the max hold that ends the hold, and not the lease.
func (t *taken) spent() bool {
	if t.most == nil {
		return false
	}
	// Both moments are reckoned from the clock, one after the other.
	const alike = 5 * time.Millisecond
	until := t.most()
	return !until.IsZero() && until.Sub(t.SafeUntil()) < alike
}

// lock asks for what the command line names.
func (r *runner) lock(ctx context.Context, c *client.Client) (*taken, error) {
	if len(r.names) > 1 {
		return r.lockAll(ctx, c)
	}
	h, err := r.lockOne(ctx, c, r.names[0])
	if err != nil {
		return nil, err
	}
	what := r.noun + " " + strconv.Quote(h.Name())
	return &taken{hold: h, most: h.MaxUntil, what: what, env: []string{
		"LOCKD_NAME=" + h.Name(),
		"LOCKD_TOKEN=" + strconv.FormatUint(h.Token(), 10),
		"LOCKD_SESSION=" + strconv.FormatUint(h.Session(), 10)}}, nil
}

func (r *runner) lockOne(ctx context.Context, c *client.Client, name string) (*client.Held, error) {
	opts := r.terms.options()
	opts.Weight = uint8(r.priority)
	opts.Mode = r.want.mode
	try := r.patience.wait == 0
	switch {
	case r.want.of > 0 && try:
		return c.Semaphore(name, r.want.of).TryAcquireWith(ctx, r.want.take, opts)
	case r.want.of > 0:
		return c.Semaphore(name, r.want.of).AcquireWith(ctx, r.want.take, opts)
	case try:
		return c.TryLockWith(ctx, name, opts)
	}
	return c.LockWith(ctx, name, opts)
}

// lockAll takes several locks, all or none.
func (r *runner) lockAll(ctx context.Context, c *client.Client) (*taken, error) {
	wants := make([]client.Want, len(r.names))
	for i, name := range r.names {
		wants[i] = client.Want{Name: name, Mode: r.want.mode}
	}
	ask := c.LockAllWith
	if r.patience.wait == 0 {
		ask = c.TryLockAllWith
	}
	one := r.terms.options()
	h, err := ask(ctx, wants, client.LockAllOptions{Weight: uint8(r.priority), Payload: one.Payload,
		Labels: one.Labels, MaxHold: one.MaxHold, MinHold: one.MinHold, LockDelay: one.LockDelay})
	if err != nil {
		return nil, err
	}
	var lines, quoted []string
	for _, t := range h.Tokens() {
		lines = append(lines, strconv.FormatUint(t.Token, 10)+" "+t.Name)
		quoted = append(quoted, strconv.Quote(t.Name))
	}
	what := "one of the locks " + strings.Join(quoted, ", ")
	return &taken{hold: h, most: h.MaxUntil, what: what, env: []string{
		"LOCKD_NAME=" + r.names[0],
		"LOCKD_TOKEN=" + strconv.FormatUint(h.Token(r.names[0]), 10),
		"LOCKD_TOKENS=" + strings.Join(lines, "\n")}}, nil
}

// giveBack releases the lock and ends the client. Nodes that did not answer to the
// release are not waited for again.
func giveBack(c *client.Client, h hold) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := h.Unlock(ctx)
	if ctx.Err() != nil {
		closeClient(c)
		return err
	}
	return errors.Join(err, c.Close(ctx))
}
