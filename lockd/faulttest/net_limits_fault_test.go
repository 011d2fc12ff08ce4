//go:build fault

package faulttest

import (
	"context"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lockd/client"
	"lockd/lockd/faulttest/proxy"
	"lockd/netio/wire"
)

// TestFR1Descriptors is F-R1: every node has few descriptors, and twice as many
// conns as it has knock on every port. Those above the limit are told so; links,
// log and those who were there before lose nothing; and when the crowd has gone
// others get in. It fails without descriptors kept back for links and files, or
// if accept runs out of them, which would end the event loops (netio).
func TestFR1Descriptors(t *testing.T) {
	if _, err := exec.LookPath("prlimit"); err != nil {
		t.Skip("prlimit is missing: apt-get install util-linux")
	}
	c := makeCluster(t, Options{Nodes: 3, Network: Proxied, Seed: 81, Flags: smallFlags()})
	const files = 400
	for _, n := range c.Nodes {
		n.Prefix = []string{"prlimit", "--nofile=400:400"}
	}
	if err := c.Start(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	r := newNetRig(t, c, 81)
	live := r.liveHold(t, 2*time.Second)
	var crowd []net.Conn
	refused := 0
	for _, n := range c.Nodes {
		for range 2 * files {
			conn, err := net.DialTimeout("tcp", n.Listen, 5*time.Second)
			if err != nil {
				continue
			}
			crowd = append(crowd, conn)
		}
		refused += int(metric(t, n, "lockd_client_conns_over_limit_total", ""))
		for range 200 { // the peer port is knocked on as well, and links are cut
			if conn, err := net.DialTimeout("tcp", n.Peer, 5*time.Second); err == nil {
				crowd = append(crowd, conn)
			}
		}
	}
	r.probe.Watch()
	took := r.progress(t, 4*electionTimeout, "in the crowd")
	time.Sleep(4 * time.Second)
	live(t)
	for _, pair := range [][2]int{{1, 2}, {1, 3}, {2, 3}} {
		p, _ := c.Mesh.Between(pair[0], pair[1])
		p.Reset()
	}
	back := awaitLinks(t, c, 30*time.Second)
	if refused == 0 {
		t.Error("no conn was refused for their number")
	}
	for _, conn := range crowd {
		_ = conn.Close() // many are closed already
	}
	late := dial(t, c, client.Options{Name: "late"})
	free(t, late, "after the crowd")
	t.Logf("%d conns knocked, %d refused; links back after %v, all groups served after %v",
		len(crowd), refused, back, took)
	r.intact(t, "after the crowd")
	r.finish(t)
}

// liveHold takes a lock with a short lease. What it returns demands that it is
// held still: its session was renewed all the while (I33).
func (r *netRig) liveHold(t *testing.T, lease time.Duration) func(t *testing.T) {
	t.Helper()
	cl := dial(t, r.cluster, client.Options{Name: "short lease", Lease: lease})
	h, err := cl.Lock(within(t, 10*time.Second), "short lease")
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) {
		t.Helper()
		if !h.Valid() {
			t.Errorf("a live session with a lease of %v was not renewed: %v", lease,
				context.Cause(h.Context()))
		}
	}
}

// TestFR1Queues is F-R1: conns send requests as fast as they can, far more than
// the inbox holds and than a conn may have in flight. What does not fit is
// refused as Busy, definitely; memory stays bounded; a session of another with a
// short lease is renewed all the time. It fails without the bounds of inbox and
// conn, or if renewals are refused with the rest (I22, I33).
func TestFR1Queues(t *testing.T) {
	r := newNetRig(t, newCluster(t, 3, "--inbox", "1MiB", "--conn-in-flight", "1000"), 82)
	live := r.liveHold(t, 3*time.Second)
	before := make([]int64, 3)
	for i, n := range r.cluster.Nodes {
		_, before[i] = memoryOf(t, n)
	}
	stop := time.Now().Add(8 * time.Second)
	var sent, busy, other atomic.Int64
	var talkers sync.WaitGroup
	for i := range 6 {
		n := r.cluster.Nodes[i%3]
		c := dialRaw(t, n.Client)
		talkers.Add(2)
		var answered atomic.Int64
		go func() {
			defer talkers.Done()
			sent.Add(ask(c, stop, &answered))
			_ = c.Close()
		}()
		go func() {
			defer talkers.Done()
			count(c, &answered, &busy, &other)
		}()
	}
	talkers.Wait()
	live(t)
	for i, n := range r.cluster.Nodes {
		_, peak := memoryOf(t, n)
		t.Logf("node %d: memory at most %d MiB, before %d MiB; %v requests refused as busy", n.ID,
			peak>>20, before[i]>>20, metric(t, n, "lockd_requests_busy_total", ""))
		if grown := peak - before[i]; grown > 256<<20 {
			t.Errorf("node %d: memory grew by %d MiB", n.ID, grown>>20)
		}
	}
	t.Logf("%d requests sent: %d busy, %d answered otherwise", sent.Load(), busy.Load(),
		other.Load())
	if busy.Load() == 0 {
		t.Error("nothing was refused as busy")
	}
	r.probe.Watch()
	t.Logf("all groups served %v after the flood", r.progress(t, 4*electionTimeout, "afterwards"))
	r.intact(t, "after the flood")
	r.finish(t)
}

// asking bounds the questions of one conn without an answer: enough to fill any
// inbox, little enough not to be closed for unread responses.
const asking = 50_000

// ask sends questions about a lock of every group until a moment, and returns
// how many.
func ask(c *rawConn, stop time.Time, answered *atomic.Int64) int64 {
	var names [][]byte
	for g := range groups {
		names = append(names, []byte(nameIn("asked", g, groups)))
	}
	var batch []byte
	for time.Now().Before(stop) {
		if int64(c.requests)-answered.Load() > asking {
			time.Sleep(time.Millisecond)
			continue
		}
		batch = batch[:0]
		for i := range 512 {
			c.requests++
			g := i % groups
			batch = wire.AppendGet(batch, wire.Header{Group: uint16(g), Request: c.requests},
				&wire.Get{Name: names[g]})
		}
		if _, err := c.Write(batch); err != nil {
			break
		}
	}
	return int64(c.requests)
}

// count reads responses until the conn ends.
func count(c *rawConn, answered, busy, other *atomic.Int64) {
	for {
		h, body, err := c.frame()
		if err != nil {
			return
		}
		if h.Kind != wire.KindResponse {
			continue
		}
		answered.Add(1)
		if x, err := wire.DecodeResponse(body); err == nil && x.Status == wire.StatusBusy {
			busy.Add(1)
		} else {
			other.Add(1)
		}
	}
}

// TestFN5SlowClient is F-N5 with the Go client behind a line of two kilobytes a
// second, both ways: it gets its lock, and keeps it.
func TestFN5SlowClient(t *testing.T) {
	r := newNetRig(t, newCluster(t, 3), 52)
	var addresses []string
	for _, n := range r.cluster.Nodes {
		p, err := proxy.New(proxy.Options{Listen: "127.0.0.1:0", Target: n.Client,
			Protocol: proxy.Clients})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		p.SetBoth(proxy.Rules{BytesPerSecond: 2 << 10, Delay: 100 * time.Millisecond})
		addresses = append(addresses, p.Addr())
	}
	cl, err := client.Dial(within(t, 30*time.Second), addresses, client.Options{Name: "slow",
		Lease: 4 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cl.Close(within(t, time.Second)) })
	began := time.Now()
	h, err := cl.Lock(within(t, 30*time.Second), "far away")
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	time.Sleep(8 * time.Second)
	if !h.Valid() {
		t.Errorf("the hold ended: %v", context.Cause(h.Context()))
	}
	t.Logf("granted after %v, held over two leases", took)
	r.intact(t, "beside a slow client")
	r.finish(t)
}
