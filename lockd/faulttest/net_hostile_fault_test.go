//go:build fault

package faulttest

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"lockd/netio/wire"
)

// TestFN5HostileConns is F-N5 between clients and nodes: hundreds of conns that
// say nothing, say it byte by byte, begin a frame and never end it, or ask and
// never read. Each costs itself only: who does not read is not read either, all
// are closed in bounded time, memory stays bounded, and others are served as
// before. It fails without the timeouts for hellos, frames and unread responses,
// or if a conn that leaves its responses unread goes on being read (netio).
func TestFN5HostileConns(t *testing.T) {
	// What one node may keep: the inbox, what each deaf conn has not read, and
	// twice the outbox of its one event loop; and as much again until it is
	// collected.
	const inbox, outbound, outbox, deafConns = 8 << 20, 1 << 20, 64 << 20, 20
	const bound = 2 * (inbox + deafConns*outbound + 2*outbox)
	r := newNetRig(t, newCluster(t, 3, "--inbox", "8MiB", "--outbound", "1MiB", "--event-loops",
		"1"), 55)
	target := r.cluster.Nodes[0]
	_, before := memoryOf(t, target)
	r.probe.Watch()
	var all []*rawConn
	var talkers sync.WaitGroup
	drip := func(c *rawConn, b []byte, every time.Duration) {
		all = append(all, c)
		talkers.Add(1)
		go func() {
			defer talkers.Done()
			for i := range b {
				if _, err := c.Write(b[i : i+1]); err != nil {
					return
				}
				time.Sleep(every)
			}
		}()
	}
	for range 200 {
		all = append(all, dialSilent(t, target.Client))
		drip(dialSilent(t, target.Client), hello(), 300*time.Millisecond)
		endless := binary.LittleEndian.AppendUint32(nil, wire.MaxFrameBytes-4)
		drip(dialRaw(t, target.Client), append(endless, make([]byte, 60)...), 500*time.Millisecond)
	}
	var deaf []*rawConn
	for range deafConns {
		c := dialRaw(t, target.Client)
		deaf = append(deaf, c)
		talkers.Add(1)
		go func() {
			defer talkers.Done()
			flood(c)
		}()
	}
	for i, c := range all {
		if err := c.ended(30 * time.Second); err != nil {
			t.Fatalf("hostile conn %d: %v", i, err)
		}
	}
	talkers.Wait()
	judgeDeaf(t, deaf)
	longest, group := r.probe.Longest()
	_, after := memoryOf(t, target)
	t.Logf("%d conns closed: %v silent, %v unread; longest wait of others %v in group %d; "+
		"memory at most %d MiB, before %d MiB", len(all)+len(deaf),
		metric(t, target, "lockd_client_conns_silent_total", ""),
		metric(t, target, "lockd_client_conns_overflowed_total", ""),
		longest, group, after>>20, before>>20)
	if longest > 4*electionTimeout {
		t.Errorf("others waited for %v, want %v at most", longest, 4*electionTimeout)
	}
	if after-before > bound {
		t.Errorf("memory grew by %d MiB, want %d at most", (after-before)>>20, bound>>20)
	}
	r.intact(t, "after hostile conns")
	r.finish(t)
}

// judgeDeaf demands of conns that read nothing that they were not read, and that
// they are closed.
func judgeDeaf(t *testing.T, deaf []*rawConn) {
	t.Helper()
	for i, c := range deaf {
		if !c.closed(time.Minute) {
			t.Errorf("deaf conn %d: still open", i)
		}
		if size := len(wire.AppendStatus(nil, wire.Header{})); int(c.requests)*size > deafBytes {
			t.Errorf("deaf conn %d: %d requests were read or buffered, want %d bytes at most", i,
				c.requests, deafBytes)
		}
	}
}

// deafBytes is what fits between a client that reads nothing and a node that then
// does not read it either: what both kernels buffer.
const deafBytes = 48 << 20

// flood asks for the status of the node, which is long, until nothing can be
// written for five seconds, or the node closes.
func flood(c *rawConn) {
	var batch []byte
	for range 256 {
		batch = wire.AppendStatus(batch, wire.Header{Request: 1})
	}
	for {
		if err := c.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return
		}
		if _, err := c.Write(batch); err != nil || c.requests*20 > 2*deafBytes {
			return
		}
		c.requests += 256
	}
}

// closed reports whether the node closes the conn within a while. It reads
// nothing: a write shows it.
func (r *rawConn) closed(limit time.Duration) bool {
	frame := wire.AppendStatus(nil, wire.Header{Request: 1})
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if err := r.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			return false
		}
		_, err := r.Write(frame)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return true
		}
	}
	return false
}

// TestFN6AnotherAtTheAddress is F-N6: at the address where a node looks for its
// peer answers another node, then a node of another cluster; and at the address
// where clients look for a node answers one of another cluster. Nobody takes the
// one for the other, all goes on over the remaining links, and the right node is
// found again when it is back. It fails without the checks of ids and cluster in
// a handshake (netio, checkHello; client, Welcome).
func TestFN6AnotherAtTheAddress(t *testing.T) {
	r := newNetRig(t, newProxied(t, 61), 61)
	other := startCluster(t, Options{Nodes: 3, Name: "other", Flags: smallFlags()})
	mesh, nodes := r.cluster.Mesh, r.cluster.Nodes
	link, _ := mesh.Between(1, 2)
	for _, row := range []struct {
		name, address, words string
	}{
		{"another node", nodes[2].Peer, "node 3 answers at the address where node 1 looks for node 2"},
		{"another cluster", other.Nodes[1].Peer, "another cluster"},
	} {
		r.probe.Watch()
		nodes[0].forgetLog(t)
		link.SetTarget(row.address)
		link.Reset()
		took := r.progress(t, 4*electionTimeout, row.name)
		awaitLog(t, nodes[0], row.words)
		time.Sleep(time.Second)
		r.intact(t, row.name)
		link.SetTarget(nodes[1].Peer)
		link.Reset()
		back := awaitLinks(t, r.cluster, 10*time.Second)
		t.Logf("%s: all groups served after %v; the right one was found %v after its return",
			row.name, took, back)
	}
	front := mesh.Before(2)
	front.SetTarget(other.Nodes[1].Client)
	front.Reset()
	time.Sleep(3 * time.Second)
	if err := r.load.Err(); err != nil {
		t.Fatalf("with another cluster's node before clients: %v", err)
	}
	for _, n := range other.Nodes {
		if got := metric(t, n, "lockd_locks", ""); got != 0 {
			t.Errorf("node %d of the other cluster holds %v locks, want none", n.ID, got)
		}
	}
	r.probe.Watch()
	front.SetTarget(nodes[1].Listen)
	front.Reset()
	t.Logf("clients: all groups served %v after the right node was back",
		r.progress(t, 4*electionTimeout, "with the right node before clients"))
	r.finish(t)
}

// TestFN6Stranger is F-N6 on the peer port: one who knows no more than the
// protocol says hello as every node there is, again and again, while links are
// cut. No link of a real node is lost to it. It fails if a link gives way before
// the newcomer has shown what only its peer can.
func TestFN6Stranger(t *testing.T) {
	c := startCluster(t, Options{Nodes: 3, Network: Proxied, Seed: 62,
		Flags: append(smallFlags(), "--secret-file", secretFile(t))})
	r := newNetRig(t, c, 62)
	before := metricAll(t, c, "lockd_peer_links_total", "")
	stop := time.Now().Add(5 * time.Second)
	claims := 0
	for time.Now().Before(stop) {
		for _, n := range c.Nodes {
			for from := range uint16(5) {
				claim(t, n.Peer, from, uint16(n.ID))
				claims++
			}
		}
	}
	if got := metricAll(t, c, "lockd_peer_links_total", ""); got != before {
		t.Errorf("%v links came up during the claims, want none: none was lost", got-before)
	}
	t.Logf("%d claims, %v refused by the nodes", claims,
		metricAll(t, c, "lockd_peer_conns_refused_total", ""))
	r.intact(t, "after the claims")
	r.finish(t)
}

// claim says hello on a peer port as some node.
func claim(t *testing.T, address string, from, to uint16) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	h := wire.PeerHello{Version: wire.PeerVersion, MinVersion: wire.MinPeerVersion,
		From: from, To: to}
	frame := wire.AppendPeerHello(nil, wire.PeerKindHello, &h)
	proof := wire.AppendPeerProof(nil, &wire.Proof{})
	if _, err := conn.Write(append(frame, proof...)); err != nil {
		return
	}
	_, _ = conn.Read(make([]byte, 512))
}
