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
