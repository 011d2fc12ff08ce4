package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lockd/client"
	"lockd/lockd/admin"
	"lockd/netio/wire"
)

// holdHelp is what lock and try have in common.
const holdHelp = `
The hold is detached: it lives by its --ttl, not by this process, until lockd release
gives it back or lockd renew gives it another time. It prints lines for a shell:

  held=$(lockd try deploy --ttl 10m) || exit
  eval "$held"
  lockd renew "$LOCKD_NAME" --token "$LOCKD_TOKEN" --ttl 10m
  lockd release "$LOCKD_NAME" --token "$LOCKD_TOKEN"

Nobody else is granted the lock before LOCKD_UNTIL; let what it protects refuse a
smaller LOCKD_TOKEN than it has seen. To run one command, lockd run is safer: it
keeps the lock for as long as the command takes and stops it if that fails.

If the lines cannot be printed the lock is given back, and the exit code is not 0; where
standard output is closed it is not taken at all.

A detached hold has no client whose name others could see, so it gets a label
by=USER@HOST, unless a --label by= is given or there is no room for it.
`

// lockCodes are the exit codes of both.
const lockCodes = `
Exit codes:
    1  others hold the lock, or it is in use as another kind; who is printed
    2  the command line is wrong
   69  no node answers for the lock
   75  the lock was lost before it could be printed
   77  ` + notPermitted + `
  128+N  signal N ended the wait`

func lockVerb() verb {
	return verb{
		name:  "lock",
		args:  "NAME",
		brief: "take a lock and leave it held, for scripts",
		help: `
Waits until nobody holds the lock or waits for it, and takes it. It has no place in
the queue: all who wait there, as lockd run does, come first.
` + holdHelp + lockCodes,
		begin: func(flags *flag.FlagSet) action {
			l := &locker{verb: "lock"}
			l.patience.declare(flags, "lock")
			l.declare(flags)
			return l.run
		},
	}
}

func tryVerb() verb {
	return verb{
		name:  "try",
		args:  "NAME",
		brief: "take a lock if it is free, and leave it held",
		help: `
Takes the lock if nobody holds it or waits for it, and fails at once otherwise.
` + holdHelp + lockCodes,
		begin: func(flags *flag.FlagSet) action {
			l := &locker{verb: "try", patience: patience{conflictCode: exitFailure}}
			l.declare(flags)
			return l.run
		},
	}
}

// locker is one call of lockd lock or lockd try.
type locker struct {
	verb     string
	cluster  clusterFlags
	patience patience
	want     wantFlags
	terms    termFlags
	ttl      time.Duration
	out      format
	by       string // who takes it, for the label
}

// takenBy is who uses this shell: the user, by number if the environment does not
// say, and the machine.
func takenBy(sh *shell) string {
	user := sh.getenv("USER")
	if user == "" {
		user = sh.getenv("LOGNAME")
	}
	if user == "" { // as under cron, or in a container
		user = "uid" + strconv.Itoa(os.Getuid())
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	by := strings.ToValidUTF8(user+"@"+host, "?")
	return strings.ToValidUTF8(by[:min(len(by), wire.MaxLabelValueBytes)], "")
}

// Bounds of the time to live of a detached hold, whatever the cluster's settings.
const (
	leastHold = 100 * time.Millisecond
	mostHold  = 24 * time.Hour
)

func (l *locker) declare(flags *flag.FlagSet) {
	l.cluster.declare(flags)
	l.want.declare(flags)
	l.terms.declare(flags)
	declareTTL(flags, &l.ttl)
	l.out.declareFor(flags, "shell", "lines for a shell to evaluate")
}

func declareTTL(flags *flag.FlagSet, ttl *time.Duration) {
	declareSpan(flags, span{to: ttl, least: leastHold, most: mostHold}, "ttl", 5*time.Minute,
		"how `long` the lock stays held, at most the cluster's hold_max")
}

func (l *locker) run(sh *shell, args []string) error {
	if err := needArgs(args, "NAME"); err != nil {
		return err
	}
	if err := l.want.check(l.verb); err != nil {
		return err
	}
	if err := checkRead(l.verb, sh.out); err != nil {
		return err
	}
	l.patience.timeout, l.by = l.cluster.timeout, takenBy(sh)
	defer l.patience.listen(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)()
	c, err := l.patience.dial(&l.cluster, sh, client.Options{Name: clientName()})
	if err != nil {
		return err
	}
	defer closeClient(c)
	name := args[0]
	l.patience.notice = newNotice(sh, c, awaited{"lock", []string{name}}, l.cluster.timeout)
	h, err := acquire(&l.patience, func(ctx context.Context) (*client.Held, error) {
		if l.patience.wait == 0 {
			return l.try(ctx, c, name)
		}
		return l.wait(ctx, c, name)
	})
	if err != nil {
		err = l.patience.failure(c, []string{name}, err)
		if h != nil {
			return l.undo(sh, h, err)
		}
		return err
	}
	return l.print(sh, name, h)
}

// print prints the hold, or gives it back if that fails.
func (l *locker) print(sh *shell, name string, h *client.Held) error {
	until := h.SafeUntil()
	if until.IsZero() {
		return failf(exitLostBefore, "lock %q was lost before it could be printed: its time of %s "+
			"is over", name, l.ttl)
	}
	d := client.DetachedHold{Name: name, Session: h.Session(), Token: h.Token()}
	if err := printHold(sh, l.out, d, until); err != nil {
		return l.undo(sh, h, err)
	}
	return nil
}

// giveBack ends a hold of which nobody has heard, so that nobody else would.
func (l *locker) giveBack(h *client.Held) error {
	ctx, cancel := context.WithTimeout(context.Background(), l.cluster.timeout)
	defer cancel()
	return h.Unlock(ctx)
}

// try takes the lock. It says by a label who did, if that has room.
func (l *locker) try(ctx context.Context, c *client.Client, name string) (*client.Held, error) {
	opts := l.terms.options()
	opts.Mode = l.want.mode
	labels := opts.Labels // without it, if that may help
	if opts.Labels["by"] == "" && len(labels) < wire.MaxLabels {
		opts.Labels = map[string]string{"by": l.by}
		maps.Copy(opts.Labels, labels)
	}
	h, err := l.tryWith(ctx, c, name, opts)
	if errors.Is(err, client.ErrTooMuchData) || errors.Is(err, client.ErrUnsupported) ||
		errors.Is(err, client.ErrOptions) {
		opts.Labels = labels
		return l.tryWith(ctx, c, name, opts)
	}
	return h, err
}

func (l *locker) tryWith(ctx context.Context, c *client.Client, name string,
	opts client.LockOptions) (*client.Held, error) {
	if l.want.of > 0 {
		return c.Semaphore(name, l.want.of).TryAcquireDetached(ctx, l.want.take, l.ttl, opts)
	}
	return c.TryDetachedWith(ctx, name, l.ttl, opts)
}

// wait tries whenever something becomes of the lock: a detached hold is never
// granted from the queue.
func (l *locker) wait(ctx context.Context, c *client.Client, name string) (*client.Held, error) {
	h, err := l.try(ctx, c, name)
	if !errors.Is(err, client.ErrHeld) {
		return h, err
	}
	for _, err := range c.Watch(ctx, name, client.WatchOptions{}) {
		if err != nil {
			return nil, err
		}
		if h, err = l.try(ctx, c, name); !errors.Is(err, client.ErrHeld) {
			return h, err
		}
	}
	return nil, context.Cause(ctx)
}

// printHold says what was taken and until when nobody else can be granted it.
func printHold(sh *shell, out format, d client.DetachedHold, until time.Time) error {
	if out == "json" {
		_, err := sh.out.Write(admin.AppendHold(nil, d, until))
		return err
	}
	name, comment := shellQuoted(d.Name), ""
	if !strings.Contains(name, "\n") { // it would end the comment
		dashes := ""
		if strings.HasPrefix(d.Name, "-") { // it would be read as a flag
			dashes = "-- "
		}
		comment = fmt.Sprintf("# give it back: lockd release --token %d %s%s\n", d.Token, dashes, name)
	}
	_, err := fmt.Fprintf(sh.out,
		"LOCKD_NAME=%s\nLOCKD_TOKEN=%d\nLOCKD_SESSION=%d\nLOCKD_UNTIL=%s\n%s", name, d.Token, d.Session,
		until.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z07:00"), comment)
	return err
}

// shellQuoted is a text as a POSIX shell reads it as one word.
func shellQuoted(text string) string {
	plain := text != "" && strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"+
		"0123456789_-./:@%+,") == ""
	if plain && text[0] != '-' {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
