package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"lockd/perf/launch"
	"lockd/perf/measure"
	"lockd/perf/report"
	"lockd/perf/target"
	"lockd/perf/workload"
)

// clientsPerTarget is how many clients are open: one carries every load, the
// second is the other hand of a handoff.
const clientsPerTarget = 2

// service is a started target with its clients.
type service struct {
	target.Target
	cluster *launch.Cluster
	clients [clientsPerTarget]target.Locker
}

// runCommand measures what the flags ask for and writes the report.
func runCommand(ctx context.Context, args []string) (err error) {
	o, err := parseOptions(args, os.Stderr)
	if err != nil {
		return err
	}
	r := &report.Report{Version: commit(), Command: append([]string{"perf", "run"}, args...)}
	targets, err := findTargets(ctx, o, r)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, "lockd-perf-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if r.Machine, err = measure.Describe(dir); err != nil {
		return err
	}
	services, err := startAll(ctx, targets, dir)
	defer func() { err = errors.Join(err, stopAll(services)) }()
	if err != nil {
		return err
	}
	// What was measured before an error or an interrupt is worth reading.
	err = measureAll(ctx, o, services, r)
	return errors.Join(err, write(o, r))
}

// findTargets looks the targets up. One whose program is not there is left out,
// and said to be; it is an error if none is left.
func findTargets(ctx context.Context, o options, r *report.Report) ([]target.Target, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	lockd, err := filepath.Abs(o.lockd)
	if err != nil {
		return nil, err
	}
	wanted, err := target.Find(o.targets, target.Programs{
		Lockd: lockd, LockdFlags: o.lockdFlags, Echo: self, EchoArgs: []string{"echo"},
		Redis: o.redis, Etcd: o.etcd, ZooKeeper: o.zooKeeper,
	})
	if err != nil {
		return nil, err
	}
	var targets []target.Target
	for _, t := range wanted {
		version, err := t.Launcher.Version(ctx)
		switch {
		case errors.Is(err, launch.ErrMissing) && len(wanted) > 1:
			fmt.Fprintf(os.Stderr, "!! NOT MEASURED: %s: %v\n", t.Name, err)
			r.Missing = append(r.Missing, report.Missing{Target: t.Name, Reason: err.Error()})
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		targets = append(targets, t)
		r.Targets = append(r.Targets, report.Target{
			Name: t.Name, Durability: t.Durability, Server: version, Client: moduleVersion(t.Client),
		})
		if t.Name == o.baseline {
			r.Baseline = o.baseline
		}
	}
	if len(targets) == 0 {
		return nil, errors.New("none of the targets is there; see above")
	}
	return targets, nil
}

// moduleVersion names a module with the version that perf was built with; our
// own code is that of the commit.
func moduleVersion(module string) string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == module && m.Replace == nil {
				return module + " " + m.Version
			}
		}
	}
	if module == "" || module == "lockd" {
		return "our own"
	}
	return module
}

// startAll starts every target and connects its clients. On an error it
// returns what was started.
func startAll(ctx context.Context, targets []target.Target, dir string) ([]*service, error) {
	var services []*service
	for i, t := range targets {
		own := filepath.Join(dir, fmt.Sprintf("%d-%s", i+1, t.Name))
		cluster, err := t.Launcher.Start(ctx, own)
		if err != nil {
			return services, err
		}
		s := &service{Target: t, cluster: cluster}
		services = append(services, s)
		for i := range s.clients {
			if s.clients[i], err = t.Open(ctx, cluster); err != nil {
				return services, fmt.Errorf("connect to %s: %w", t.Name, err)
			}
		}
	}
	return services, nil
}

// stopAll closes the clients and stops the servers.
func stopAll(services []*service) error {
	var errs []error
	for _, s := range services {
		for _, client := range s.clients {
			if client != nil {
				errs = append(errs, client.Close())
			}
		}
		errs = append(errs, s.cluster.Stop())
	}
	return errors.Join(errs...)
}

// measureAll runs the rounds, every load on every target in turn.
func measureAll(ctx context.Context, o options, services []*service, r *report.Report) error {
	progress := newProgress(o.rounds * len(services) * len(o.loads()))
	for round := range o.rounds {
		for _, load := range o.loads() {
			for _, s := range services {
				if !s.can(load) {
					progress.skip()
					continue
				}
				done := progress.begin(round+1, s.Name, load)
				result, err := measureOne(ctx, o, s, load)
				done()
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.Name, load, err)
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
				cell := r.Find(s.Name, load)
				cell.Rounds = append(cell.Rounds, result)
			}
		}
	}
	if len(r.Cells) == 0 {
		return errors.New("no target can run any of the loads: failover needs one that " +
			"survives a server, async a client with asynchronous calls; lockd has both")
	}
	return nil
}

// can says whether a load makes sense for a target.
func (s *service) can(load workload.Load) bool {
	switch load.Workload {
	case "failover":
		return s.Survives
	case "async":
		_, ok := s.clients[0].(target.Chainer)
		return ok
	}
	return true
}

// measureOne runs one load on one target, with what it cost.
func measureOne(ctx context.Context, o options, s *service,
	load workload.Load) (report.Round, error) {
	var before, after usage
	var usageErr error
	profiled := func() error { return nil }
	began := func() {
		before, usageErr = readUsage(s.cluster)
		if o.profile != "" {
			profiled = background(func() error { return fetchProfiles(ctx, o.profile, s, load) })
		}
	}
	result, err := runLoad(ctx, s, load, began)
	if err != nil {
		return report.Round{}, err
	}
	after, err = readUsage(s.cluster)
	if err := errors.Join(usageErr, err, profiled()); err != nil {
		return report.Round{}, err
	}
	return after.since(before, result), nil
}

// runLoad picks the workload.
func runLoad(ctx context.Context, s *service, load workload.Load,
	began func()) (workload.Result, error) {
	switch load.Workload {
	case "uncontended", "contended":
		return workload.Closed(ctx, s.clients[0], load, began), nil
	case "async":
		return workload.Async(ctx, s.clients[0], load, began)
	case "open":
		return workload.Open(ctx, s.clients[0], load, began), nil
	case "handoff":
		return workload.Handoff(ctx, s.clients, load, began), nil
	case "failover":
		return workload.Failover(ctx, s.clients[0], s.cluster.Processes, load, began)
	}
	return workload.Result{}, fmt.Errorf("no workload %q", load.Workload)
}

// write writes the report where the flags say.
func write(o options, r *report.Report) error {
	if len(r.Cells) == 0 {
		return nil
	}
	if o.json != "" {
		if err := writeFile(o.json, r.WriteJSON); err != nil {
			return err
		}
	}
	if o.markdown != "" {
		return writeFile(o.markdown, r.WriteMarkdown)
	}
	return r.WriteMarkdown(os.Stdout)
}

func writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return write(f)
}

// commit names the commit that is measured, or says that git cannot tell.
func commit() string {
	text, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		return "unknown at " + time.Now().UTC().Format(time.DateOnly)
	}
	return strings.TrimSpace(string(text))
}
