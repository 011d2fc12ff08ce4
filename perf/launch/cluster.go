package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
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
}

// Stop stops every process, the last started first.
func (c *Cluster) Stop() error {
	var errs []error
	for _, p := range slices.Backward(c.Processes) {
		errs = append(errs, p.Stop())
	}
	return errors.Join(errs...)
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

// freeAddresses picks loopback ports that nobody uses.
func freeAddresses(n int) (addresses []string, err error) {
	for range n {
		listener, listenErr := net.Listen("tcp", "127.0.0.1:0")
		if listenErr != nil {
			return nil, fmt.Errorf("launch: find a free port: %w", listenErr)
		}
		// All stay open until all are found, so that no port comes twice.
		defer func() { err = errors.Join(err, listener.Close()) }()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
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
