package faulttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"lockd/client"
	"lockd/lockd/faulttest/ports"
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
	ports ports.Claim
}

// New claims ports, until Close, and starts nothing.
func New(o Options) (*Cluster, error) {
	if o.Name == "" {
		o.Name = "fault"
	}
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	c := &Cluster{opts: o}
	for range o.Nodes {
		if _, err := c.AddNode(); err != nil {
			return nil, errors.Join(err, c.ports.Close())
		}
	}
	if o.Network == Proxied {
		var err error
		if c.Mesh, err = newMesh(c); err != nil {
			return nil, errors.Join(err, c.ports.Close())
		}
	}
	return c, nil
}

// AddNode adds a node, with ports of its own, that does not run yet.
func (c *Cluster) AddNode() (*Node, error) {
	addresses, err := c.ports.Addresses(3)
	if err != nil {
		return nil, err
	}
	id := len(c.Nodes) + 1
	n := &Node{
		ID:      id,
		Dir:     filepath.Join(c.opts.Dir, fmt.Sprintf("node%d", id)),
		Client:  addresses[0],
		Peer:    addresses[1],
		Admin:   addresses[2],
		cluster: c,
	}
	c.Nodes = append(c.Nodes, n)
	return n, nil
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

// Close kills what still runs and gives the ports back.
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
	return errors.Join(append(problems, c.ports.Close())...)
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
