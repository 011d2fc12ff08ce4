package faulttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"lockd/client"
)

// Options describe a Cluster.
type Options struct {
	// Binary is the path of lockd.
	Binary string
	// Dir is an existing directory for the data and the logs.
	Dir string
	// Name is the cluster's name. Default "fault".
	Name string
	// Nodes is how many there are. Default 3.
	Nodes int
	// Flags are added to the command line of every node.
	Flags []string
	// Network says what lies between the nodes, and between clients and nodes.
	// Default Direct.
	Network Network
	// Seed draws what proxies do.
	Seed uint64
}

// Network is what lies between the nodes, and between clients and nodes.
type Network uint8

// The networks.
const (
	Direct  Network = iota // loopback
	Proxied                // a proxy for each pair of nodes, and one before each node
)

// Cluster is some nodes on loopback. Its methods belong to one goroutine.
type Cluster struct {
	Nodes []*Node
	Mesh  *Mesh // of a Proxied cluster, else nil
	opts  Options
}

// New chooses free ports and starts nothing.
func New(o Options) (*Cluster, error) {
	if o.Name == "" {
		o.Name = "fault"
	}
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	addresses, err := freeAddresses(3 * o.Nodes)
	if err != nil {
		return nil, err
	}
	c := &Cluster{opts: o}
	for i := range o.Nodes {
		c.Nodes = append(c.Nodes, &Node{
			ID:      i + 1,
			Dir:     filepath.Join(o.Dir, fmt.Sprintf("node%d", i+1)),
			Client:  addresses[3*i],
			Peer:    addresses[3*i+1],
			Admin:   addresses[3*i+2],
			cluster: c,
		})
	}
	if o.Network == Proxied {
		if c.Mesh, err = newMesh(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Ports of nodes are drawn below those that the kernel hands out by itself:
// between the choice and the start of a node, and while a node is down, some
// conn could otherwise be given its port.
const (
	firstPort = 10_000
	ports     = 20_000
)

// freeAddresses finds addresses that nobody listens on. They are all open at
// one time, so that none is found twice.
func freeAddresses(n int) ([]string, error) {
	var open []net.Listener
	var addresses []string
	var problems []error
	for try := 0; len(open) < n && try < 100*n; try++ {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(ports)))
		if err != nil {
			continue // somebody has it
		}
		open = append(open, ln)
		addresses = append(addresses, ln.Addr().String())
	}
	if len(open) < n {
		problems = append(problems, fmt.Errorf("faulttest: found %d free ports of %d", len(open), n))
	}
	for _, ln := range open {
		problems = append(problems, ln.Close())
	}
	return addresses, errors.Join(problems...)
}

// Start starts every node that does not run and waits until all are ready.
func (c *Cluster) Start(ctx context.Context) error {
	for _, n := range c.Nodes {
		if n.Running() {
			continue
		}
		if err := n.Start(); err != nil {
			return err
		}
	}
	for _, n := range c.Nodes {
		if err := n.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close kills what still runs.
func (c *Cluster) Close() error {
	var problems []error
	for _, n := range c.Nodes {
		if n.Running() {
			problems = append(problems, n.Resume(), n.Kill())
		}
	}
	if c.Mesh != nil {
		problems = append(problems, c.Mesh.Close())
	}
	return errors.Join(problems...)
}

// Addresses are those that clients dial.
func (c *Cluster) Addresses() []string {
	var all []string
	for _, n := range c.Nodes {
		all = append(all, n.Client)
	}
	return all
}

// Dial connects a client.
func (c *Cluster) Dial(ctx context.Context, o client.Options) (*client.Client, error) {
	return client.Dial(ctx, c.Addresses(), o)
}

// Leader returns the node that leads the group of a name, as the nodes say,
// and the number of the group.
func (c *Cluster) Leader(ctx context.Context, of *client.Client, group int) (*Node, error) {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		all, err := of.Status(ctx)
		if err != nil {
			return nil, err
		}
		for i := range all {
			if all[i].Err != nil || group >= len(all[i].Groups) {
				continue
			}
			if all[i].Groups[group].Leader == all[i].Node {
				return c.Nodes[all[i].Node-1], nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("faulttest: group %d has no leader: %w", group, ctx.Err())
		case <-poll.C:
		}
	}
}

// AwaitEqual waits until every node has applied the same slots of every group.
// It only ends while little is written.
func (c *Cluster) AwaitEqual(ctx context.Context, of *client.Client) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		all, err := of.Status(ctx)
		if err == nil {
			if err = differ(all, len(c.Nodes)); err == nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("faulttest: nodes do not converge: %w", err)
		case <-poll.C:
		}
	}
}

// differ says in what the nodes differ, nil if all answered and are equal.
func differ(all []client.NodeStatus, nodes int) error {
	if len(all) != nodes {
		return fmt.Errorf("faulttest: %d of %d nodes answer", len(all), nodes)
	}
	for i := range all {
		if all[i].Err != nil {
			return fmt.Errorf("faulttest: node %d: %w", all[i].Node, all[i].Err)
		}
		if len(all[i].Groups) != len(all[0].Groups) {
			return fmt.Errorf("faulttest: node %d has %d groups, node %d has %d", all[i].Node,
				len(all[i].Groups), all[0].Node, len(all[0].Groups))
		}
		for g := range all[i].Groups {
			if got, want := all[i].Groups[g].Applied, all[0].Groups[g].Applied; got != want {
				return fmt.Errorf("faulttest: group %d: node %d applied %d slots, node %d %d",
					g, all[i].Node, got, all[0].Node, want)
			}
		}
	}
	return nil
}

// RemoveDir wipes the directory of a node that does not run.
func (n *Node) RemoveDir() error {
	if n.Running() {
		return fmt.Errorf("faulttest: node %d runs", n.ID)
	}
	return os.RemoveAll(n.Dir)
}
