package faulttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
)

// ErrNoSpaces means that this machine cannot put nodes into network namespaces;
// the text says what is missing. A test is skipped with it.
var ErrNoSpaces = errors.New("faulttest: no network namespaces")

// Spaces are the network namespaces of a Cluster: each node lives in one of its
// own, on a bridge with the machine itself, where the clients are. Packets
// between any two nodes can be dropped, each way by itself: what the kernels of
// both ends make of that is what happens in a real network. It belongs to one
// goroutine.
type Spaces struct {
	bridge string
	subnet string   // its first three numbers
	names  []string // of the namespaces, by id less one
	links  []string // from the bridge into them
}

// NewSpaces makes a namespace for each node of a cluster that has not started,
// and gives the nodes addresses there. The caller must call Close, and is told
// by ErrNoSpaces if it cannot be done on this machine.
func NewSpaces(c *Cluster) (*Spaces, error) {
	if err := canSpace(); err != nil {
		return nil, err
	}
	mark := fmt.Sprintf("%d%c", os.Getpid(), 'a'+rand.IntN(26))
	s := &Spaces{
		bridge: "lkb" + mark,
		subnet: fmt.Sprintf("10.213.%d", rand.IntN(256)),
	}
	err := errors.Join(
		tool("ip", "link", "add", s.bridge, "type", "bridge", "forward_delay", "0"),
		tool("ip", "address", "add", s.subnet+".254/24", "dev", s.bridge),
		tool("ip", "link", "set", s.bridge, "up"))
	for _, n := range c.Nodes {
		err = errors.Join(err, s.add(n, mark))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoSpaces, errors.Join(err, s.Close()))
	}
	return s, nil
}

// canSpace says what is missing to make namespaces.
func canSpace() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root can make them", ErrNoSpaces)
	}
	for _, name := range []string{"ip", "iptables-restore"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %s is missing: apt-get install iproute2 iptables", ErrNoSpaces,
				name)
		}
	}
	return nil
}

// add makes the namespace of a node and moves the node there.
func (s *Spaces) add(n *Node, mark string) error {
	name := fmt.Sprintf("lockd-%s-%d", mark, n.ID)
	outer, inner := fmt.Sprintf("lkv%s%d", mark, n.ID), fmt.Sprintf("lkn%s%d", mark, n.ID)
	host := fmt.Sprintf("%s.%d", s.subnet, n.ID)
	if err := tool("ip", "netns", "add", name); err != nil {
		return err
	}
	s.names, s.links = append(s.names, name), append(s.links, outer)
	n.Peer, n.Client, n.Admin = host+":7601", host+":7600", host+":7602"
	n.Prefix = []string{"ip", "netns", "exec", name}
	return errors.Join(
		tool("ip", "link", "add", outer, "type", "veth", "peer", "name", inner),
		tool("ip", "link", "set", inner, "netns", name),
		tool("ip", "link", "set", outer, "master", s.bridge),
		tool("ip", "link", "set", outer, "up"),
		tool("ip", "-n", name, "address", "add", host+"/24", "dev", inner),
		tool("ip", "-n", name, "link", "set", inner, "up"),
		tool("ip", "-n", name, "link", "set", "lo", "up"))
}

// Shape drops the packets between nodes in exactly those directions that a
// graph has not.
func (s *Spaces) Shape(g Graph) error {
	var problems []error
	for to := 1; to <= graphNodes; to++ {
		var rules strings.Builder
		rules.WriteString("*filter\n:INPUT ACCEPT\n")
		for from := 1; from <= graphNodes; from++ {
			if from != to && !g.Up(from, to) {
				fmt.Fprintf(&rules, "-A INPUT -s %s.%d -j DROP\n", s.subnet, from)
			}
		}
		rules.WriteString("COMMIT\n")
		problems = append(problems, s.restore(s.names[to-1], rules.String()))
	}
	return errors.Join(problems...)
}

// restore replaces all rules of a namespace at one moment.
func (s *Spaces) restore(name, rules string) error {
	cmd := exec.Command("ip", "netns", "exec", name, "iptables-restore", "-w")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("faulttest: rules of %s: %w: %s", name, err, out)
	}
	return nil
}

// Close takes the namespaces and the bridge away. Requires: no node runs.
func (s *Spaces) Close() error {
	var problems []error
	for i, name := range s.names {
		problems = append(problems, tool("ip", "link", "delete", s.links[i]),
			tool("ip", "netns", "delete", name))
	}
	return errors.Join(append(problems, tool("ip", "link", "delete", s.bridge))...)
}
