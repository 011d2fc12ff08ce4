package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"lockd/lockd/faulttest/ports"
)

// Launcher starts one kind of service.
type Launcher interface {
	// Version names the program and its version. The error matches ErrMissing if
	// it is not there.
	Version(ctx context.Context) (string, error)
	// Start starts every process of the service under dir and waits until all
	// are ready.
	Start(ctx context.Context, dir string) (*Cluster, error)
}

// Cluster is a started service.
type Cluster struct {
	// Addresses are where clients connect, one per process.
	Addresses []string
	// Admin are the base URLs of the processes' HTTP listeners, for those that
	// have one.
	Admin []string
	// Processes are the servers, in the order of Addresses.
	Processes []*Process
	// Dir is a directory on the disk that is measured, for what has no servers.
	Dir string

	ports ports.Claim
}

// Stop stops every process, the last started first, and gives the ports back.
func (c *Cluster) Stop() error {
	var errs []error
	for _, p := range slices.Backward(c.Processes) {
		errs = append(errs, p.Stop())
	}
	return errors.Join(append(errs, c.ports.Close())...)
}

// startAll starts the commands one after another; the ready check of the last
// may depend on all. On an error none is left.
func startAll(ctx context.Context, c *Cluster, commands []Command) error {
	for _, command := range commands {
		p, err := Start(ctx, command)
		if err != nil {
			return errors.Join(err, c.Stop())
		}
		c.Processes = append(c.Processes, p)
	}
	return nil
}

// startTogether starts the commands at once and then waits until all are ready,
// for services whose processes wait for one another. On an error none is left.
func startTogether(ctx context.Context, c *Cluster, commands []Command) error {
	for _, command := range commands {
		p := &Process{command: command}
		if err := p.begin(); err != nil {
			return errors.Join(fmt.Errorf("launch: start %s: %w", command.Name, err), c.Stop())
		}
		c.Processes = append(c.Processes, p)
	}
	if err := c.await(ctx); err != nil {
		return errors.Join(err, c.Stop())
	}
	return nil
}

// await waits until every process is ready.
func (c *Cluster) await(ctx context.Context) error {
	for _, p := range c.Processes {
		if err := p.awaitStart(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Crash kills every process at once, as a power cut of the machine would end
// them, and waits until all are gone.
func (c *Cluster) Crash() {
	for _, p := range c.Processes {
		p.strike()
	}
	for _, p := range c.Processes {
		p.Kill()
	}
}

// Restart starts all processes again, together, with their directories, and
// waits until all are ready.
func (c *Cluster) Restart(ctx context.Context) error {
	for _, p := range c.Processes {
		if err := p.begin(); err != nil {
			return fmt.Errorf("launch: start %s: %w", p.command.Name, err)
		}
	}
	return c.await(ctx)
}

// answers is a ready check: something accepts connections at the address.
func answers(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// subdir makes a directory for one process.
func subdir(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("launch: %w", err)
	}
	return path, nil
}
