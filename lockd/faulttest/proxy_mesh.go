package faulttest

import (
	"errors"
	"math/rand/v2"

	"lockd/lockd/faulttest/proxy"
)

// Mesh is the proxies of a Cluster: one for each pair of nodes and one before
// each node, for its clients. The node with the lower id dials the other, so
// one proxy carries both directions of a pair.
type Mesh struct {
	pairs   map[[2]int]*proxy.Proxy // by lower and higher id
	clients []*proxy.Proxy          // by id less one
}

// newMesh puts proxies between the nodes of a cluster that has its addresses.
func newMesh(c *Cluster) (*Mesh, error) {
	m := &Mesh{pairs: make(map[[2]int]*proxy.Proxy)}
	count := len(c.Nodes) + len(c.Nodes)*(len(c.Nodes)-1)/2
	addresses, err := c.ports.Addresses(count)
	if err != nil {
		return nil, err
	}
	open := func(target string, protocol proxy.Protocol) (*proxy.Proxy, error) {
		count--
		return proxy.New(proxy.Options{Listen: addresses[count], Target: target,
			Protocol: protocol, Seed: c.opts.Seed<<8 + uint64(count)})
	}
	for i, n := range c.Nodes {
		p, err := open(n.Client, proxy.Clients)
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		m.clients = append(m.clients, p)
		n.Listen, n.Client = n.Client, p.Addr()
		for _, higher := range c.Nodes[i+1:] {
			p, err := open(higher.Peer, proxy.Peers)
			if err != nil {
				return nil, errors.Join(err, m.Close())
			}
			m.pairs[[2]int{n.ID, higher.ID}] = p
		}
	}
	return m, nil
}

// addressFor is the peer address of a node as another one is to know it.
func (m *Mesh) addressFor(id int, of *Node) string {
	if p := m.pairs[[2]int{id, of.ID}]; p != nil {
		return p.Addr()
	}
	return of.Peer
}

// Between returns the proxy between two nodes and the direction that leads from
// the first to the second.
func (m *Mesh) Between(from, to int) (*proxy.Proxy, proxy.Direction) {
	if from < to {
		return m.pairs[[2]int{from, to}], proxy.Up
	}
	return m.pairs[[2]int{to, from}], proxy.Down
}

// Before returns the proxy between clients and a node.
func (m *Mesh) Before(id int) *proxy.Proxy { return m.clients[id-1] }

// Set makes the rules from one node to another those given.
func (m *Mesh) Set(from, to int, r proxy.Rules) {
	p, d := m.Between(from, to)
	p.Set(d, r)
}

// SetPeers makes the rules between all nodes those given.
func (m *Mesh) SetPeers(r proxy.Rules) {
	for _, p := range m.pairs {
		p.SetBoth(r)
	}
}

// SetClients makes the rules between clients and nodes those given.
func (m *Mesh) SetClients(r proxy.Rules) {
	for _, p := range m.clients {
		p.SetBoth(r)
	}
}

// Shape lets exactly those directions between nodes carry something that a
// graph has. What is sent the other ways is lost or, as draw has it, comes when
// the way is open again.
func (m *Mesh) Shape(g Graph, draw *rand.Rand) {
	for from := 1; from <= graphNodes; from++ {
		for to := 1; to <= graphNodes; to++ {
			if from == to {
				continue
			}
			rules := proxy.Rules{}
			if !g.Up(from, to) {
				rules.Gate = proxy.Swallow
				if draw.IntN(2) == 0 {
					rules.Gate = proxy.Hold
				}
			}
			m.Set(from, to, rules)
		}
	}
}

// Stats adds up what the proxies between nodes have done.
func (m *Mesh) Stats() proxy.Stats {
	var sum proxy.Stats
	for _, p := range m.pairs {
		s := p.Stats()
		sum.Conns += s.Conns
		sum.Swallowed += s.Swallowed
		for d := range s.Frames {
			sum.Frames[d] += s.Frames[d]
			sum.Bytes[d] += s.Bytes[d]
		}
		for h := range s.Done {
			sum.Done[h] += s.Done[h]
		}
	}
	return sum
}

// Close stops all proxies.
func (m *Mesh) Close() error {
	var problems []error
	for _, p := range m.clients {
		problems = append(problems, p.Close())
	}
	for _, p := range m.pairs {
		problems = append(problems, p.Close())
	}
	return errors.Join(problems...)
}
