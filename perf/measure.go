package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"lockd/perf/measure"
	"lockd/perf/report"
	"lockd/perf/target"
	"lockd/perf/workload"
)

// session is one run of a plan.
type session struct {
	*plan
	report   *report.Report
	progress *progress
	dir      string
	fresh    int // how many services had servers of their own
}

// measure runs the plan and adds what it measures to the report. Whatever it
// started is stopped and removed when it returns.
func (p plan) measure(ctx context.Context, r *report.Report) (err error) {
	dir, err := os.MkdirTemp(p.dir, "lockd-perf-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if r.Machine, err = measure.Describe(dir); err != nil {
		return err
	}
	s := &session{plan: &p, report: r, dir: dir, progress: newProgress(&p)}
	for i, step := range p.steps {
		own := filepath.Join(dir, fmt.Sprintf("step-%d", i+1))
		if err := s.step(ctx, step, own); err != nil {
			return err
		}
	}
	if len(r.Cells) == 0 {
		return unfitError(r)
	}
	return nil
}

// unfitError says why nothing was measured.
func unfitError(r *report.Report) error {
	var errs []error
	for _, m := range r.Missing {
		errs = append(errs, fmt.Errorf("%s: %s", m.Target, m.Reason))
	}
	for _, u := range r.Unfit {
		errs = append(errs, fmt.Errorf("%s, %s: %s", u.Target, u.Workload, u.Reason))
	}
	return fmt.Errorf("nothing was measured: %w", errors.Join(errs...))
}

// step measures every load on every target in turn, round after round.
func (s *session) step(ctx context.Context, step step, dir string) (err error) {
	targets, err := s.findTargets(ctx, step.targets, s.report)
	if err != nil {
		return err
	}
	s.progress.started()
	s.progress.leave(step, len(step.targets)-len(targets))
	f := &fleet{}
	defer func() { err = errors.Join(err, f.stop()) }()
	if needsShared(step) {
		lost := func(t target.Target, err error) {
			fmt.Fprintf(os.Stderr, "!! NOT STARTED: %s: %v\n", t.Name, err)
			s.report.AddMissing(report.Missing{Target: t.Name, Reason: "it did not start: " + err.Error()})
			s.progress.leave(step, 1)
		}
		if err := f.start(ctx, targets, dir, lost); err != nil {
			return err
		}
		if err := s.warm(ctx, f.services); err != nil {
			return err
		}
	} else {
		for _, t := range targets {
			f.services = append(f.services, &service{Target: t})
		}
	}
	for round := range step.rounds {
		for _, load := range step.loads {
			for _, service := range f.services {
				if err := s.cell(ctx, service, load, round+1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// needsShared says whether a load of the step runs on servers that others use
// too.
func needsShared(step step) bool {
	for _, load := range step.loads {
		if !load.Fresh() {
			return true
		}
	}
	return false
}

// warm loads every target for a while, so that the first round is like the
// others: Java compiles what runs often, files and caches get their size.
func (s *session) warm(ctx context.Context, services []*service) error {
	if s.prewarm == 0 {
		return nil
	}
	load := workload.Load{Workload: "uncontended", Workers: 20, Duration: s.prewarm}
	for _, service := range services {
		if _, err := workload.Run(ctx, service.subject(), load, func() {}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// errNoPair says that a measurement shows nothing.
var errNoPair = errors.New("no pair ended in all the time")

// nothing is the error of a measurement that ended well and found no pair: it would be
// a zero among figures.
func nothing(load workload.Load, r report.Round) error {
	if load.Paired() && r.PairsPerSecond == 0 {
		return errNoPair
	}
	return nil
}

// cell measures one load on one target once. A load that breaks is a round that
// says so, and the others are measured all the same.
func (s *session) cell(ctx context.Context, service *service, load workload.Load,
	round int) error {
	if reason := workload.Unfit(service.Target, service.client(), load); reason != "" {
		s.report.AddUnfit(report.Unfit{
			Target: service.Name, Workload: load.Workload, Reason: reason})
		s.progress.skip(load)
		return nil
	}
	done := s.progress.begin(round, service.Name, load)
	result, err := s.measureOne(ctx, service, load)
	if err == nil {
		err = nothing(load, result)
	}
	done()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "!! BROKEN: %s, %s: %v\n", service.Name, load, err)
		result.Broken = err.Error()
	}
	cell := s.report.Find(service.Name, load)
	cell.Rounds = append(cell.Rounds, result)
	return nil
}

// client is a client of the service, if it has servers already; what loads on
// fresh servers need is known without one.
func (s *service) client() target.Locker { return s.clients[0] }

// measureOne runs one load on one target, with what it cost.
func (s *session) measureOne(ctx context.Context, shared *service,
	load workload.Load) (round report.Round, err error) {
	service := shared
	if load.Fresh() {
		if service, err = s.startFresh(ctx, shared); service != nil {
			defer func() { err = errors.Join(err, service.close(), service.cluster.Stop()) }()
		}
		if err != nil {
			return report.Round{}, err
		}
	}
	if load.Held > 0 {
		if err := workload.Hold(ctx, service.clients[1], load.Held); err != nil {
			return report.Round{}, err
		}
	}
	var before usage
	var usageErr error
	profiled := func() error { return nil }
	began := func() {
		before, usageErr = readUsage(service.cluster)
		if s.profile != "" {
			profiled = background(func() error { return fetchProfiles(ctx, s.profile, service, load) })
		}
	}
	result, extra, err := s.runLoad(ctx, service, load, began)
	if err != nil {
		return report.Round{}, err
	}
	after, err := readUsage(service.cluster)
	if err := errors.Join(usageErr, err, profiled()); err != nil {
		return report.Round{}, err
	}
	after.client += extra
	return after.since(before, result), nil
}

// startFresh starts servers that nothing else uses. If it returns a service, that
// is to be closed and its cluster stopped.
func (s *session) startFresh(ctx context.Context, shared *service) (*service, error) {
	s.fresh++
	dir := filepath.Join(s.dir, fmt.Sprintf("fresh-%d", s.fresh))
	cluster, err := shared.Launcher.Start(ctx, dir)
	if err != nil {
		return nil, err
	}
	return connect(ctx, shared.Target, cluster)
}

// runLoad runs a load in this process or in several of its own. extra is the CPU
// time of those.
func (s *session) runLoad(ctx context.Context, service *service, load workload.Load,
	began func()) (result workload.Result, extra time.Duration, err error) {
	if load.Clients == 0 {
		result, err = workload.Run(ctx, service.subject(), load, began)
		return result, 0, err
	}
	return runClients(ctx, service.Name, service.cluster, load, began)
}
