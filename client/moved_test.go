package client

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lockd/netio/wire"
)

// movingNodes are three nodes of which the third, which leads, moves.
type movingNodes struct {
	*bench
	three    string    // where node 3 is
	says     [2]string // where nodes 2 and 1 say that it is
	swallows string    // an address where nobody refuses and nobody answers
	dials    map[string]int
}

func newMovingNodes(t *testing.T) *movingNodes {
	m := &movingNodes{bench: newBench(t), dials: map[string]int{}}
	m.moveTo("three")
	m.endConns()
	return m
}

// moveTo moves node 3, of which the others know.
func (m *movingNodes) moveTo(address string) {
	m.three, m.says = address, [2]string{address, address}
}

// endConns ends all conns, as a restart of the nodes does.
func (m *movingNodes) endConns() {
	for _, e := range m.core.endpoints {
		if e.conn != 0 {
			m.core.Disconnected(m.now, e.conn, errSilent)
		}
	}
}

// endConnsTo ends the conns to one node.
func (m *movingNodes) endConnsTo(node uint16) {
	for _, e := range m.core.endpoints {
		if e.conn != 0 && e.node == node {
			m.core.Disconnected(m.now, e.conn, errSilent)
		}
	}
}

// dialed answers a dial.
func (m *movingNodes) dialed(d NewConn) {
	m.dials[d.Address]++
	node := map[string]uint16{"one": 1, "two": 2, m.three: 3}[d.Address]
	switch {
	case node == 0 && d.Address == m.swallows:
		return
	case node == 0:
		m.core.Disconnected(m.now, d.Conn, errSilent)
		return
	}
	m.core.Connected(m.now, d.Conn)
	m.receive(d.Conn, wire.AppendWelcome(nil, wire.Header{}, &wire.Welcome{
		Version: 1, Node: node, Limits: wire.DefaultLimits(), Leaders: []uint16{3},
		Nodes: []wire.Node{{ID: 3, Address: []byte(m.says[node%2])}}}))
}

// ask asks for a lock that only node 3 knows of, and returns how that ends.
func (m *movingNodes) ask() error {
	m.t.Helper()
	x := &Call{Kind: wire.KindGet, Name: "a", Timeout: 20 * time.Second}
	m.core.Start(x)
	for x.State() == StateOpen {
		m.core.Tick(m.now)
		m.core.Take(&m.ready)
		for _, d := range m.ready.Dials {
			m.dialed(d)
		}
		for _, e := range m.core.endpoints {
			if e.state != connUp {
				continue
			}
			conn, node := e.conn, e.node
			for _, h := range m.sent(conn, wire.KindGet) {
				if node == 3 {
					m.respond(conn, h, wire.Response{Status: wire.StatusOK})
					continue
				}
				m.respond(conn, h, wire.Response{Status: wire.StatusNotLeader, Leader: 3,
					Payload: []byte(m.says[node%2])})
			}
		}
		m.now = m.now.Add(5 * time.Millisecond)
	}
	return x.Err
}

// askNode puts a question to node 3 itself, and returns how that ends. Nobody asks for a lock.
func (m *movingNodes) askNode() error {
	m.t.Helper()
	x := &Call{Kind: wire.KindStatus, Node: 3, Timeout: 20 * time.Second}
	m.core.Start(x)
	for x.State() == StateOpen {
		m.core.Tick(m.now)
		m.core.Take(&m.ready)
		for _, d := range m.ready.Dials {
			m.dialed(d)
		}
		for _, e := range m.core.endpoints {
			if e.state == connUp && e.node == 3 {
				for _, h := range m.sent(e.conn, wire.KindStatus) {
					m.respond(e.conn, h, wire.Response{Status: wire.StatusOK})
				}
			}
		}
		m.now = m.now.Add(5 * time.Millisecond)
	}
	return x.Err
}

// TestQuestionToNodeThatMoved proves that a question to one node that has moved, and leads
// nothing that anybody asks for, finds it where another node says that it is.
func TestQuestionToNodeThatMoved(t *testing.T) {
	m := newMovingNodes(t)
	if err := m.ask(); err != nil {
		t.Fatalf("before it moves: %v", err)
	}
	for i := range 20 {
		if i%2 == 1 { // what is said to the old address is lost
			m.swallows = m.three
		}
		m.moveTo(fmt.Sprint("three/", i))
		m.endConnsTo(3)
		tried := 0
		err := m.askNode()
		for ; err != nil && tried < 2; tried++ { // the end of a conn is the first failure only
			m.now = m.now.Add(redialMost)
			err = m.askNode()
		}
		if err != nil {
			t.Fatalf("node 3 is at %s, as all say: %v; dials %v", m.three, err, m.dials)
		}
	}
	if got := len(m.core.endpoints); got > 4 {
		t.Errorf("got %d addresses of three nodes, want 4 at most", got)
	}
	if m.core.scout.conn != 0 {
		t.Error("the conn on which was asked where the nodes are is kept")
	}
}

// TestQuestionToNodeThatIsDown proves that a question to a node which is nowhere ends, and
// that asking again and again has others asked where it is once a second at most.
func TestQuestionToNodeThatIsDown(t *testing.T) {
	m := newMovingNodes(t)
	if err := m.ask(); err != nil {
		t.Fatal(err)
	}
	m.three, m.says = "nowhere", [2]string{"three/old", "three/older"}
	m.endConnsTo(3)
	start, scouts := m.now, 0
	for m.now.Sub(start) < 20*time.Second {
		before := m.dials["one"] + m.dials["two"]
		if err := m.askNode(); err == nil {
			t.Fatal("a node that is nowhere has answered")
		}
		scouts += m.dials["one"] + m.dials["two"] - before
		m.now = m.now.Add(20 * time.Millisecond)
	}
	if scouts < 2 || scouts > 21 {
		t.Errorf("got %d dials of nodes that are up within 20 s, want 2 to 21", scouts)
	}
}

// TestQuestionOutlivesItsConn proves that a question is put again when its conn is replaced
// for the sake of another that owed answers.
func TestQuestionOutlivesItsConn(t *testing.T) {
	m := newMovingNodes(t)
	if err := m.ask(); err != nil {
		t.Fatal(err)
	}
	x := &Call{Kind: wire.KindStatus, Node: 3, Timeout: 20 * time.Second}
	m.core.Start(x)
	m.core.Tick(m.now)
	at := m.core.endpointOf(3)
	m.sent(m.core.endpoints[at].conn, wire.KindStatus)
	m.core.replace(at)
	m.core.Take(&m.ready)
	for _, d := range m.ready.Dials {
		m.dialed(d)
	}
	for _, h := range m.sent(m.core.endpoints[at].conn, wire.KindStatus) {
		m.respond(m.core.endpoints[at].conn, h, wire.Response{Status: wire.StatusOK})
	}
	if x.State() != StateDone || x.Err != nil {
		t.Errorf("got state %d, %v, want an answer by the new conn", x.State(), x.Err)
	}
}

// TestNodeThatMoved proves that a client that runs finds a node at its new address, of
// which the others tell, and forgets the old one, however often it moves.
func TestNodeThatMoved(t *testing.T) {
	m := newMovingNodes(t)
	if err := m.ask(); err != nil {
		t.Fatalf("before it moves: %v", err)
	}
	for i := range 20 {
		most := 500 * time.Millisecond
		if i%2 == 1 { // what is said to the old address is lost
			m.swallows, most = m.three, m.core.cfg.DialTimeout+500*time.Millisecond
		}
		m.moveTo(fmt.Sprint("three/", i))
		m.endConns()
		start := m.now
		if err := m.ask(); err != nil {
			t.Fatalf("node 3 is at %s, as all say: %v; dials %v", m.three, err, m.dials)
		}
		if took := m.now.Sub(start); took > most {
			t.Errorf("found at %s after %s, want %s at most", m.three, took, most)
		}
	}
	if got := len(m.core.endpoints); got > 4 {
		t.Errorf("got %d addresses of three nodes, want 4 at most", got)
	}
	for _, address := range []string{"one", "two"} {
		if !slices.ContainsFunc(m.core.endpoints,
			func(e *endpoint) bool { return e.address == address }) {
			t.Errorf("%s is forgotten, by which the client was told to dial", address)
		}
	}
}

// TestAddressInUseStays proves that what one node says of another moves nobody away
// from an address at which that answers, and that a wrong word among right ones keeps
// nobody from it.
func TestAddressInUseStays(t *testing.T) {
	m := newMovingNodes(t)
	if err := m.ask(); err != nil {
		t.Fatal(err)
	}
	m.says[0] = "elsewhere"
	if err := m.ask(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		m.endConns()
		if err := m.ask(); err != nil {
			t.Fatalf("one node of two is wrong about where node 3 is: %v; dials %v", err, m.dials)
		}
	}
}

// TestAddressesHaveABound proves that the addresses which a client learns are bounded,
// however many nodes there are said to be.
func TestAddressesHaveABound(t *testing.T) {
	b := newBench(t)
	for i := range 1000 {
		node := uint16(i + 10)
		b.core.hearOf(node, fmt.Append(nil, "node/", i))
		at := b.core.endpointOf(node)
		if at < 0 {
			t.Fatalf("node %d is not known", node)
		}
		b.core.dial(b.core.endpoints[at])
		b.core.Disconnected(b.now, b.core.lastConn, errSilent)
		b.now = b.now.Add(redialMost)
		b.core.Tick(b.now)
	}
	if got := len(b.core.endpoints); got > learnedMost+2 {
		t.Errorf("got %d addresses, want %d at most", got, learnedMost+2)
	}
}
