package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"lockd/perf/launch"
	"lockd/perf/report"
	"lockd/perf/target"
	"lockd/perf/workload"
)

// service is a started target with its clients.
type service struct {
	target.Target
	cluster *launch.Cluster
	clients [2]target.Locker
}

// subject is what a load runs against.
func (s *service) subject() workload.Subject {
	return workload.Subject{
		Clients: s.clients, Cluster: s.cluster, Keys: workload.NewKeys(),
		Open: func(ctx context.Context) (target.Locker, error) { return s.Open(ctx, s.cluster) },
	}
}

// fleet is the services of a step. Targets whose servers are the same share them.
type fleet struct {
	services []*service
	clusters map[string]*launch.Cluster
	order    []*launch.Cluster
}

// findTargets looks the targets of a step up. One whose program is not there is
// left out, and said to be; it is an error if only it was asked for.
func (p *plan) findTargets(ctx context.Context, names []string,
	r *report.Report) ([]target.Target, error) {
	programs, err := p.servers.programs()
	if err != nil {
		return nil, err
	}
	wanted, err := target.Find(names, programs)
	if err != nil {
		return nil, err
	}
	var targets []target.Target
	for _, t := range wanted {
		version, err := t.Launcher.Version(ctx)
		switch {
		case errors.Is(err, launch.ErrMissing) && (len(wanted) > 1 || len(p.steps) > 1):
			fmt.Fprintf(os.Stderr, "!! NOT MEASURED: %s: %v\n", t.Name, err)
			r.AddMissing(report.Missing{Target: t.Name, Reason: err.Error()})
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		targets = append(targets, t)
		named := report.Target{
			Name: t.Name, Durability: t.Durability, Server: version, Client: moduleVersion(t.Client),
			Flags: strings.Join(t.Flags, " "),
		}
		r.AddTarget(named)
		if t.Name == p.baseline {
			r.Baseline = p.baseline
		}
	}
	return targets, nil
}

// programs says where the servers come from.
func (s *servers) programs() (target.Programs, error) {
	self, err := os.Executable()
	if err != nil {
		return target.Programs{}, err
	}
	lockd, err := filepath.Abs(s.lockd)
	return target.Programs{
		Lockd: lockd, LockdFlags: s.lockdFlags, Echo: self, EchoArgs: []string{"echo"},
		Redis: s.redis, Etcd: s.etcd, ZooKeeper: s.zooKeeper,
	}, err
}

// moduleVersion names a module with the version that perf was built with; our
// own code is that of the commit.
func moduleVersion(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
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

// start starts every target and connects its clients. It tells lost of those that
// do not start, and goes on without them. The error is the end of ctx; the fleet
// then has what was started.
func (f *fleet) start(ctx context.Context, targets []target.Target, dir string,
	lost func(target.Target, error)) error {
	f.clusters = map[string]*launch.Cluster{}
	for _, t := range targets {
		s, err := f.startOne(ctx, t, dir)
		switch {
		case ctx.Err() != nil:
			if s != nil {
				f.services = append(f.services, s)
			}
			return errors.Join(ctx.Err(), err)
		case err != nil:
			if s != nil {
				err = errors.Join(err, s.close())
			}
			lost(t, err)
		default:
			f.services = append(f.services, s)
		}
	}
	return nil
}

// startOne starts one target, or finds its servers started. With an error some
// clients may be open in the service.
func (f *fleet) startOne(ctx context.Context, t target.Target, dir string) (*service, error) {
	key := fmt.Sprintf("%#v", t.Launcher)
	if f.clusters[key] == nil {
		cluster, err := t.Launcher.Start(ctx, filepath.Join(dir, t.Name))
		if err != nil {
			return nil, err
		}
		f.clusters[key] = cluster
		f.order = append(f.order, cluster)
	}
	return connect(ctx, t, f.clusters[key])
}

// connect opens the clients of a target. On an error some may be open.
func connect(ctx context.Context, t target.Target, c *launch.Cluster) (*service, error) {
	s := &service{Target: t, cluster: c}
	for i := range s.clients {
		client, err := t.Open(ctx, c)
		if err != nil {
			return s, fmt.Errorf("connect to %s: %w", t.Name, err)
		}
		s.clients[i] = client
	}
	return s, nil
}

// stop closes the clients and stops the servers.
func (f *fleet) stop() error {
	var errs []error
	for _, s := range f.services {
		errs = append(errs, s.close())
	}
	for _, cluster := range f.order {
		errs = append(errs, cluster.Stop())
	}
	return errors.Join(errs...)
}

func (s *service) close() error {
	var errs []error
	for _, client := range s.clients {
		if client != nil {
			errs = append(errs, client.Close())
		}
	}
	return errors.Join(errs...)
}
