package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"lockd/lockd/placement"
)

// ParseNode reads the form of a flag: 1=127.0.0.1:7601/127.0.0.1:7600.
func ParseNode(text string) (Node, error) {
	number, addresses, ok := strings.Cut(text, "=")
	peer, client, ok2 := strings.Cut(addresses, "/")
	id, err := strconv.ParseInt(number, 10, 64)
	if !ok || !ok2 || err != nil {
		return Node{}, fmt.Errorf("%q is not a node, must be ID=PEERHOST:PORT/CLIENTHOST:PORT "+
			"as in 1=127.0.0.1:7601/127.0.0.1:7600", text)
	}
	return newNode(id, peer, client)
}

// newNode checks the parts of a node.
func newNode(id int64, peer, client string) (Node, error) {
	if id < 1 || id > 65535 {
		return Node{}, fmt.Errorf("node id %d is out of range, must be 1 to 65535", id)
	}
	for _, address := range []string{peer, client} {
		if err := checkAddress(address); err != nil {
			return Node{}, fmt.Errorf("node %d: %w", id, err)
		}
		if host, _, _ := net.SplitHostPort(address); host == "" {
			return Node{}, fmt.Errorf("node %d: %q names no host; others must be able to dial it",
				id, address)
		}
	}
	return Node{ID: uint16(id), Peer: peer, Client: client}, nil
}

// checkNodes sorts the nodes and finds contradictions between them.
func (c *Config) checkNodes() []error {
	var problems []error
	slices.SortFunc(c.Nodes, func(a, b Node) int { return int(a.ID) - int(b.ID) })
	if n := len(c.Nodes); n > placement.MaxKeepers {
		problems = append(problems, fmt.Errorf("%s: %d nodes, must be 1 to %d", nodesKey, n,
			placement.MaxKeepers))
	}
	owner := map[string]uint16{}
	for i, n := range c.Nodes {
		if i > 0 && c.Nodes[i-1].ID == n.ID {
			problems = append(problems, fmt.Errorf("%s: two nodes with id %d", nodesKey, n.ID))
			continue
		}
		for _, address := range []string{n.Peer, n.Client} {
			if other, taken := owner[address]; taken {
				problems = append(problems, fmt.Errorf("%s: %s belongs to node %d and to node %d",
					nodesKey, address, other, n.ID))
			}
			owner[address] = n.ID
		}
	}
	return problems
}

// checkListeners finds two listeners of this node that want the same port.
func (c *Config) checkListeners() []error {
	type listener struct{ what, address string }
	self := c.Self()
	all := []listener{
		{"clients (node.client_listen, cluster.nodes)", first(c.ClientListen, self.Client)},
		{"peers (node.peer_listen, cluster.nodes)", first(c.PeerListen, self.Peer)},
		{"admin HTTP (node.admin_listen)", c.AdminListen},
	}
	var problems []error
	for i, a := range all {
		for _, b := range all[i+1:] {
			listed := a.address == self.Client && b.address == self.Peer // said by checkNodes
			if !listed && overlap(a.address, b.address) {
				problems = append(problems, fmt.Errorf("the listener for %s is %s and the one for "+
					"%s is %s; give each a port of its own", a.what, a.address, b.what, b.address))
			}
		}
	}
	return problems
}

// overlap reports whether only one of two listeners can have its address: one port, and
// the same host or all of them. Port 0 is another one each time.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	all := []string{"", "0.0.0.0", "::"}
	return hostA == hostB || slices.Contains(all, hostA) || slices.Contains(all, hostB)
}
