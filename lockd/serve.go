package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"lockd/lockd/admin"
	"lockd/lockd/node"
)

func serveVerb() verb {
	return verb{
		name:  "serve",
		brief: "run one node of a cluster",
		help: `
Settings come from flags, LOCKD_* variables, the file given by --config, and
defaults, in this order. Three nodes on one machine, each in a terminal:

  lockd serve --id 1 --data d1 --admin-listen 127.0.0.1:7602 --cluster demo \
    --node 1=127.0.0.1:7601/127.0.0.1:7600 \
    --node 2=127.0.0.1:7611/127.0.0.1:7610 \
    --node 3=127.0.0.1:7621/127.0.0.1:7620
  …

All nodes of a new cluster must be up together once; afterwards each group goes on
with a majority of the nodes that keep it. The node prints one line to standard
output when it is ready. SIGTERM and SIGINT move its leaderships away and stop it; a
second one stops it at once.`,
		begin: func(flags *flag.FlagSet) action {
			file := flags.String("config", "", "TOML `file` with the settings (LOCKD_CONFIG)")
			given := settingFlags(flags)
			return func(sh *shell, args []string) error {
				if err := needArgs(args); err != nil {
					return err
				}
				if *file == "" {
					*file = sh.getenv("LOCKD_CONFIG")
				}
				cfg, err := loadConfig(sh, *file, *given)
				if err != nil {
					return err
				}
				log := newLogger(sh.err, cfg.LogLevel, cfg.LogFormat).With("node", cfg.ID)
				return serve(sh, log, func() (*assembly, error) { return assemble(cfg, log) })
			}
		},
	}
}

// serve runs one node until a signal or a failure ends it.
func serve(sh *shell, log *slog.Logger, begin func() (*assembly, error)) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	a, err := begin()
	if err != nil {
		return advise(err)
	}
	sh.last = silence // a disk that stands may keep the process from ending
	defer spareProcessors(a)()
	ready, err := awaitReady(a, signals)
	if err != nil {
		return endServe(a, err)
	}
	if ready {
		fmt.Fprintln(sh.out, a.readyLine())
		select {
		case sig := <-signals:
			log.Info("stopping", "signal", sig.String())
		case err := <-a.failed:
			return endServe(a, err)
		case <-a.server.Done():
			return endServe(a, a.server.Err())
		}
	}
	return a.shutDown(signals)
}

// endServe reports what stopped a node. Nothing is closed in order: a node that
// failed must not say anything more, and the process ends.
func endServe(a *assembly, err error) error {
	if a.dying.Load() {
		select {} // what it has heard of is the end that die makes
	}
	if err == nil {
		err = errors.New("the engine ended without a reason")
	}
	a.failure.CompareAndSwap(nil, &err)
	return advise(fmt.Errorf("node %d stopped: %w", a.cfg.ID, err))
}

// awaitReady waits until the node can serve, or a signal comes; then it is not
// ready, whatever it may be a moment later. While the cluster waits for
// something it says so every few seconds.
func awaitReady(a *assembly, signals <-chan os.Signal) (ready bool, err error) {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	patience := time.NewTicker(5 * time.Second)
	defer patience.Stop()
	for {
		select {
		case <-poll.C:
			if s := a.node.Status(); s != nil && s.Ready() {
				return true, nil
			}
		case <-patience.C:
			a.log.Info("not ready yet", "reason", admin.NotReady(a.node.Status()))
		case err := <-a.failed:
			return false, err
		case <-a.server.Done():
			return false, a.server.Err()
		case sig := <-signals:
			a.log.Info("stopping before ready", "signal", sig.String())
			return false, nil
		}
	}
}

func (a *assembly) readyLine() string {
	line := fmt.Sprintf("lockd node %d of cluster %s is ready: clients %s, peers %s",
		a.cfg.ID, printable(a.cfg.Cluster), a.server.Addr(), a.links.Addr())
	if a.admin != nil {
		line += ", admin http://" + a.admin.Addr().String()
	}
	return line
}

// shutDown lets the node leave: first it gives its leaderships away, while it
// still answers, and then everything is closed. A further signal ends the
// process at once.
func (a *assembly) shutDown(signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.DrainTimeout)
	defer cancel()
	began := time.Now()
	if err := a.drain(ctx, signals); err != nil {
		a.log.Warn("stopping with leaderships", "reason", err)
	} else {
		a.log.Info("leaderships moved", "took", time.Since(began).Round(time.Millisecond))
	}
	if err := a.closeUnless(signals); err != nil {
		return fmt.Errorf("stopping node %d: %w", a.cfg.ID, err)
	}
	return nil
}

// closeUnless closes everything, unless a signal comes first: a disk that does not move
// keeps the log and whoever waits for a sync of it from ending. Then the process ends
// as by a kill.
func (a *assembly) closeUnless(signals <-chan os.Signal) error {
	closed := make(chan error, 1)
	inBackground(func() { closed <- a.close() })
	select {
	case err := <-closed:
		return err
	case sig := <-signals:
		return failf(exitFailure, "a further signal (%v) while the node was being closed", sig)
	}
}

// drain moves the leaderships away. A node without any linked peer has nobody
// to give them to.
func (a *assembly) drain(ctx context.Context, signals <-chan os.Signal) error {
	a.inbox.Drain(node.DrainToStop, nil)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		s := a.node.Status()
		if s == nil || !s.Born || s.Stopping && s.Drained {
			return nil
		}
		alone := true
		for _, p := range s.Peers {
			alone = alone && !p.Up
		}
		if alone {
			return nil
		}
		select {
		case <-poll.C:
		case sig := <-signals:
			return failf(exitFailure, "a second signal (%v)", sig)
		case err := <-a.failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%d leaderships left after %v", s.Leading(), a.cfg.DrainTimeout)
		}
	}
}
