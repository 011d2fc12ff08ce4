package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lockd/client"
)

// patience is how long a verb waits for a lock, and what it says when it does not
// get it.
type patience struct {
	// wait is zero to take the lock at once or not at all, negative for ever.
	wait time.Duration
	// conflictCode is the exit code when others hold the lock.
	conflictCode int
	// timeout is how long an answer of the cluster may take.
	timeout time.Duration
	// notice says, once, what a wait is for. Its zero value says nothing.
	notice notice

	signals chan os.Signal
}

// waitsForEver is a wait without a bound.
const waitsForEver = -time.Second

func (p *patience) declare(flags *flag.FlagSet, noun string) {
	p.conflictCode = exitFailure
	declareSpan(flags, span{to: &p.wait}, "w", waitsForEver,
		"wait at most this `long` for the "+noun+"; 0s is not at all")
}

// listen has signals come to the verb, but for those that whoever started lockd had
// ignored, as nohup does. The returned function ends that.
func (p *patience) listen(signals ...os.Signal) (stop func()) {
	p.signals = make(chan os.Signal, 16)
	for _, s := range signals {
		if !signal.Ignored(s) {
			signal.Notify(p.signals, s)
		}
	}
	return func() { signal.Stop(p.signals) }
}

// errWaited is the cause of a wait that took too long.
var errWaited = errors.New("waited long enough")

// acquire runs a call that waits for a lock, no longer than it may. A signal while
// it waits gives up; what was granted all the same comes with that error, for the
// caller to give back.
func acquire[T any](p *patience, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	if p.wait > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, p.wait, errWaited)
		defer stop()
	}
	type outcome struct {
		held T
		err  error
	}
	result := make(chan outcome, 1)
	inBackground(func() {
		h, err := call(ctx)
		result <- outcome{h, err}
	})
	var notice <-chan string
	if p.wait != 0 { // a try waits for an answer only
		var stop func()
		notice, stop = p.notice.begin()
		defer stop()
	}
	for {
		select {
		case text := <-notice:
			p.notice.print(text)
		case o := <-result:
			var asked *failure
			if errors.As(context.Cause(ctx), &asked) {
				o.err = asked
			}
			return o.held, o.err
		case sig := <-p.signals:
			if endsWait(sig) {
				cancel(&failure{code: exitSignal + int(sig.(syscall.Signal))})
			}
		}
	}
}

// dial connects to the cluster. A signal that would end the wait for a lock ends that.
func (p *patience) dial(f *clusterFlags, sh *shell, o client.Options) (*client.Client, error) {
	forEver := &patience{wait: waitsForEver, signals: p.signals}
	c, err := acquire(forEver, func(ctx context.Context) (*client.Client, error) {
		return f.dial(ctx, sh, o)
	})
	if err != nil && c != nil {
		closeClient(c)
		c = nil
	}
	return c, err
}

// endsWait says whether a signal ends the wait for the lock.
func endsWait(sig os.Signal) bool {
	switch sig {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	}
	return false
}

// failure gives what kept us from the locks its exit code.
func (p *patience) failure(c *client.Client, names []string, err error) error {
	var asked *failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &asked):
		return asked
	case errors.Is(err, client.ErrHeld):
		return &failure{code: p.conflictCode, err: err}
	case errors.Is(err, errWaited):
		return p.waited(c, names)
	case errors.Is(err, client.ErrLost), errors.Is(err, client.ErrSessionEnded):
		return &failure{code: exitLostBefore, err: err}
	default:
		return clientFailure(err)
	}
}

// waited says why a wait was in vain: others hold the lock, if the cluster says so
// now, or nobody answers for it.
func (p *patience) waited(c *client.Client, names []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), min(p.timeout, 2*time.Second))
	defer cancel()
	text, silent, err := inTheWay(ctx, c, names)
	if err != nil {
		return failf(exitUnavailable, "lock %q was not granted in %s, and "+noLeader+": %w", silent,
			spanText(p.wait), oneLine{err})
	}
	if text != "" {
		text += "\n"
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = strconv.Quote(name)
	}
	return failf(p.conflictCode, "%swaited %s for %s in vain", text, spanText(p.wait),
		strings.Join(quoted, ", "))
}
