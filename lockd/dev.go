package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lockd/lockd/admin"
	"lockd/lockd/config"
)

func devVerb() verb {
	return verb{
		name:  "dev",
		brief: "run a three-node cluster in this process, for trying things out",
		help: `
The nodes listen on loopback only and keep their data in a temporary directory
that is removed at the end, or in --data. They are real nodes with real logs and
synced disks; what is missing is that they fail apart.

They are small: cluster.limits.memory is 256MiB instead of 1GiB, which leaves each of
the 64 groups room for 1352 locks, 169 detached holds, latches and events, and 128KiB
of payloads, labels and other terms. Above that a request is refused as busy, or as
too much data. lockd config check shows what a cluster of your own would have.

With -o json all that is printed is one line, when the nodes are ready: where they are,
and under addr what LOCKD_ADDR is to be.`,
		begin: func(flags *flag.FlagSet) action {
			var d devCluster
			flags.StringVar(&d.dir, "data", "", "keep the data in this `directory`")
			declareNumber(flags, number{to: &d.port, least: 1, most: 65535 - portsPerNode*devNodes},
				"port", 7600, "first `port`: clients of node 1")
			declareChoice(flags, choice{to: &d.level, words: []string{"debug", "info", "warn",
				"error"}}, "log-level", "warn", "least severe `line` that is logged: debug, info, "+
				"warn or error")
			d.out.declareFor(flags, "text", "to be read and pasted")
			return func(sh *shell, args []string) error {
				if err := needArgs(args); err != nil {
					return err
				}
				return d.run(sh)
			}
		},
	}
}

const (
	devNodes     = 3
	portsPerNode = 10 // of which three are used: clients, peers, admin
)

// devCluster is the cluster of lockd dev.
type devCluster struct {
	dir, level string
	port       int
	out        format
	nodes      []*assembly
}

func (d *devCluster) run(sh *shell) error {
	if d.dir == "" {
		dir, err := os.MkdirTemp("", "lockd-dev-")
		if err != nil {
			return err
		}
		d.dir = dir
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(d.dir, 0o750); err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	began := time.Now()
	log := newLogger(sh.err, d.level, "text")
	if err := d.start(sh, log); err != nil {
		return advise(errors.Join(err, d.close()))
	}
	defer spareProcessors(d.nodes...)()
	ready := true
	for _, a := range d.nodes {
		if !ready {
			break
		}
		var err error
		if ready, err = awaitReady(a, signals); err != nil {
			return endServe(a, err)
		}
	}
	if ready {
		if err := d.welcome(sh, time.Since(began)); err != nil {
			return errors.Join(err, d.close())
		}
		if err := d.await(signals); err != nil {
			return err
		}
	}
	return d.close()
}

// start opens the nodes one after the other. They find each other.
func (d *devCluster) start(sh *shell, log *slog.Logger) error {
	for i := range devNodes {
		cfg, err := loadConfigFlags(sh, d.flags(i))
		if err != nil {
			return err
		}
		a, err := assemble(cfg, log.With("node", cfg.ID))
		if err != nil {
			return err
		}
		d.nodes = append(d.nodes, a)
	}
	return nil
}

// flags are those that serve would be given for node i.
func (d *devCluster) flags(i int) []config.Given {
	given := []config.Given{
		{Flag: "cluster", Value: "dev"},
		{Flag: "id", Value: strconv.Itoa(i + 1)},
		{Flag: "data", Value: filepath.Join(d.dir, "node"+strconv.Itoa(i+1))},
		{Flag: "admin-listen", Value: d.address(i, 2)},
		{Flag: "wal-segment", Value: "4MiB"},
		{Flag: "checkpoint", Value: "8MiB"},
		{Flag: "checkpoint-cache", Value: "8MiB"},
		{Flag: "limit-memory", Value: "256MiB"},
		{Flag: "batch", Value: "256KiB"},
	}
	for k := range devNodes {
		given = append(given, config.Given{Flag: "node", Value: fmt.Sprintf("%d=%s/%s", k+1,
			d.address(k, 1), d.address(k, 0))})
	}
	return given
}

func (d *devCluster) address(i, use int) string {
	return "127.0.0.1:" + strconv.Itoa(d.port+portsPerNode*i+use)
}

// welcome says that the nodes are ready, and where. People see whether it was printed; a
// script that has not got the line waits for it for ever.
func (d *devCluster) welcome(sh *shell, took time.Duration) error {
	var clients []string
	var nodes []admin.NodeAddresses
	for i, a := range d.nodes {
		clients = append(clients, d.address(i, 0))
		nodes = append(nodes, admin.NodeAddresses{Node: uint16(a.cfg.ID), Client: d.address(i, 0),
			Peer: d.address(i, 1), Admin: d.address(i, 2)})
	}
	addr := strings.Join(clients, ",")
	if d.out == "json" {
		_, err := sh.out.Write(admin.AppendDev(nil, addr, d.nodes[0].cfg.Cluster, d.dir, nodes))
		return err
	}
	fmt.Fprintf(sh.out, `lockd dev: %d nodes are ready after %v, data in %s

In another terminal:
  export LOCKD_ADDR=%s
  lockd run hello -- sh -c '
    echo "token $LOCKD_TOKEN"    # while this runs, the lock is held
    lockd get hello
    lockd run -n hello -- true'  # and refused to others
  lockd cluster status

In Go:
  c, err := client.Dial(ctx, []string{"%s"}, client.Options{Name: "me"})
  h, err := c.Lock(ctx, "hello")
  defer h.Unlock(ctx)

Metrics, health and JSON: http://%s/metrics /readyz /v1/status /v1/locks
Stop with Ctrl-C.
`, len(d.nodes), took.Round(time.Millisecond), d.dir, addr, strings.Join(clients, `", "`),
		d.address(0, 2))
	return nil
}

// await waits for a signal or for a node to fail.
func (d *devCluster) await(signals <-chan os.Signal) error {
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		select {
		case <-signals:
			return nil
		case <-poll.C:
		}
		for _, a := range d.nodes {
			select {
			case err := <-a.failed:
				return endServe(a, err)
			case <-a.server.Done():
				return endServe(a, a.server.Err())
			default:
			}
		}
	}
}

// close stops all nodes. None is drained: there is nobody to take over.
func (d *devCluster) close() error {
	var problems []error
	for _, a := range d.nodes {
		problems = append(problems, a.close())
	}
	return errors.Join(problems...)
}

// loadConfigFlags makes a configuration of flags alone.
func loadConfigFlags(sh *shell, given []config.Given) (config.Config, error) {
	return loadConfig(&shell{err: sh.err}, "", given)
}
