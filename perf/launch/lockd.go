package launch

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Lockd starts a cluster of lockd processes. Each syncs what it answers for to
// its own directory, as it always does.
type Lockd struct {
	// Path is the binary.
	Path string
	// Nodes is how many processes; 0 means 3.
	Nodes int
	// Flags are given to every process after those that make the cluster.
	Flags []string
}

// Version implements Launcher.
func (l Lockd) Version(ctx context.Context) (string, error) {
	path, err := lookUp(l.Path, "lockd", "make build, or name a binary with --lockd")
	if err != nil {
		return "", err
	}
	text, err := output(ctx, path, "version")
	version, _, _ := strings.Cut(text, " (")
	return version, err
}

// Start implements Launcher. The processes accept connections when it returns;
// leaders may still be forming.
func (l Lockd) Start(ctx context.Context, dir string) (*Cluster, error) {
	n := l.Nodes
	if n == 0 {
		n = 3
	}
	c := new(Cluster)
	addresses, err := c.ports.Addresses(3 * n)
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	clients, peers, admins := addresses[:n], addresses[n:2*n], addresses[2*n:]
	var everyone []string
	for i := range n {
		everyone = append(everyone, "--node", fmt.Sprintf("%d=%s/%s", i+1, peers[i], clients[i]))
	}
	c.Addresses = clients
	var commands []Command
	for i := range n {
		name := fmt.Sprintf("lockd-%d", i+1)
		own, err := subdir(dir, name)
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		args := []string{"serve", "--cluster", "perf", "--id", fmt.Sprint(i + 1), "--data", own,
			"--admin-listen", admins[i], "--log-level", "warn"}
		args = append(append(args, everyone...), l.Flags...)
		c.Admin = append(c.Admin, "http://"+admins[i])
		commands = append(commands, Command{
			Name: name, Path: l.Path, Args: args, Dir: own, Ready: answers(clients[i]),
		})
	}
	return c, startAll(ctx, c, commands)
}
