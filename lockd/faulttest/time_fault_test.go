//go:build fault

package faulttest

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"lockd/client"
	"lockd/lockd/faulttest/proxy"
	"lockd/netio/wire"
)

// TestFT4PausedHolderKnowsAtOnce is F-T4 with a process that is stopped for
// longer than its lease: the lock goes to the next with a larger token; the
// first thing the process does when it goes on, before any goroutine of the
// client has had time to tell it, shows that it holds nothing; and what it then
// tries with its old token changes nothing. It fails if Valid does not look at
// the clock (I25), or if a release is taken by token or session alone (I18).
func TestFT4PausedHolderKnowsAtOnce(t *testing.T) {
	c := newCluster(t, 3)
	cl := dial(t, c, client.Options{Name: "next"})
	const name, lease = "guarded", 2 * time.Second
	h := startHolder(t, c, name, lease)
	h.ask(t, "valid")
	if got := h.line(t); got != "true" {
		t.Fatalf("before the pause: got valid %s, want true", got)
	}
	h.stop(t)
	paused := time.Now()
	h.ask(t, "valid", "unlock") // read as soon as it goes on
	next, err := cl.Lock(within(t, 20*time.Second), name)
	if err != nil {
		t.Fatal(err)
	}
	passed := time.Since(paused)
	if next.Token() <= h.token {
		t.Errorf("got token %d after token %d", next.Token(), h.token)
	}
	h.signal(t, syscall.SIGCONT)
	if got := h.line(t); got != "false" {
		t.Errorf("after the pause: got valid %s, want false", got)
	}
	if got := h.line(t); got != "lost: true" {
		t.Errorf("unlock after the pause: got %q, want it lost", got)
	}
	// Another program may not be so polite: it sends what it meant to send.
	group := wire.GroupOf("", name, groups)
	leader, err := c.Leader(within(t, 10*time.Second), cl, int(group))
	if err != nil {
		t.Fatal(err)
	}
	stale := dialRaw(t, leader.Client)
	head := stale.header(group)
	stale.send(t, wire.AppendRelease(nil, head, &wire.Release{Session: h.session, Token: h.token,
		Epoch: 1 << 20, Name: []byte(name)}))
	got := stale.response(t, head.Request).Status
	if got != wire.StatusNotHolder && got != wire.StatusSessionUnknown &&
		got != wire.StatusSessionEnded {
		t.Errorf("a release with the old token: got %v, want it refused", got)
	}
	info, err := cl.Get(within(t, 10*time.Second), name)
	if err != nil || len(info.Holders) != 1 || info.Holders[0].Token != next.Token() ||
		!next.Valid() {
		t.Errorf("the new holder was disturbed: %+v, %v", info, err)
	}
	t.Logf("lease %v: the lock passed on %v after the pause began; the old token got %q", lease,
		passed.Round(time.Millisecond), got)
}

// leaderPauses are the lengths of TestFT3LeaderPaused; LOCKD_LONG_PAUSES adds
// those of the whole row.
func leaderPauses() []time.Duration {
	all := []time.Duration{time.Second, 3 * time.Second, 6 * time.Second}
	if os.Getenv("LOCKD_LONG_PAUSES") != "" {
		all = append(all, 20*time.Second, 60*time.Second)
	}
	return all
}

// TestFT3LeaderPaused is F-T3: the leader of a group is stopped while somebody
// holds a lock of it; the lock is given back and taken by another through the
// next leader; and what the old one is asked, in bytes that wait in its socket
// when it goes on, it must not answer from what it remembers, although no peer
// has told it yet. It fails if a read is answered without a round of heartbeats
// begun after it came (I24).
//
// Nothing else goes on meanwhile: a read would wait for what is in flight before
// it. TestFT3PauseRandomNode pauses under load.
func TestFT3LeaderPaused(t *testing.T) {
	r := &netRig{rig: &rig{cluster: newProxied(t, 33)}}
	r.watch = dial(t, r.cluster, client.Options{Name: "watch"})
	for _, length := range leaderPauses() {
		r.pausedLeader(t, length)
	}
}

// leaderThatAnswers finds the leader of a group and asks it who holds a name. The
// leadership may be on its way back from the pause before.
func (r *netRig) leaderThatAnswers(ctx context.Context, t *testing.T, group uint16, name string,
	want uint64) (*Node, *rawConn) {
	t.Helper()
	for {
		leader, err := r.cluster.Leader(ctx, r.watch, int(group))
		if err != nil {
			t.Fatal(err)
		}
		raw := dialRaw(t, leader.Listen)
		head := raw.header(group)
		raw.send(t, wire.AppendGet(nil, head, &wire.Get{Name: []byte(name)}))
		x := raw.response(t, head.Request)
		if x.Status != wire.StatusOK && ctx.Err() == nil {
			continue
		}
		if token := holderIn(t, &x); token != want {
			t.Fatalf("before the pause: got %v and token %d, want %d", x.Status, token, want)
		}
		return leader, raw
	}
}

func (r *netRig) pausedLeader(t *testing.T, length time.Duration) {
	t.Helper()
	const name = "read by many"
	group := wire.GroupOf("", name, groups)
	ctx := within(t, length+30*time.Second)
	old, err := r.watch.Lock(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	leader, raw := r.leaderThatAnswers(ctx, t, group, name, old.Token())
	raw.patience(t, length+30*time.Second)
	if err := leader.Pause(); err != nil {
		t.Fatal(err)
	}
	awaitStopped(t, leader.PID())
	r.links(leader, proxy.Hold)
	defer r.links(leader, proxy.Open)
	began := time.Now()
	resume := func() {
		if err := leader.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	head := raw.header(group)
	raw.send(t, wire.AppendGet(nil, head, &wire.Get{Name: []byte(name)}))
	if length <= 2*electionTimeout { // too short to count on another leader
		time.Sleep(length)
		r.links(leader, proxy.Open)
		resume()
	}
	if err := old.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	next, err := r.watch.Lock(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	passed := time.Since(began)
	if length > 2*electionTimeout {
		time.Sleep(length - passed)
		resume()
		said, token := raw.said(t, head)
		if token != 0 && token != next.Token() {
			t.Errorf("the old leader answered with token %d, want %d or no answer", token,
				next.Token())
		}
		t.Logf("paused for %v: another held the lock after %v; the old leader then said %q", length,
			passed.Round(time.Millisecond), said)
		r.links(leader, proxy.Open)
	}
	if err := next.Unlock(ctx); err != nil {
		t.Fatal(err)
	}
	if err := leader.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	awaitLinks(t, r.cluster, 20*time.Second)
}

// links sets the gate of all links of a node.
func (r *netRig) links(n *Node, gate proxy.Gate) {
	for _, other := range r.cluster.Nodes {
		if other != n {
			r.cluster.Mesh.Set(n.ID, other.ID, proxy.Rules{Gate: gate})
			r.cluster.Mesh.Set(other.ID, n.ID, proxy.Rules{Gate: gate})
		}
	}
}

// said reads up to what answers a Get, which may be that the group has moved,
// and returns the token of the holder if it names one.
func (r *rawConn) said(t *testing.T, head wire.Header) (text string, token uint64) {
	t.Helper()
	for {
		h, body := r.next(t)
		switch {
		case h.Kind == wire.KindMoved && h.Group == head.Group:
			return "moved", 0
		case h.Kind == wire.KindResponse && h.Request == head.Request:
			x, err := wire.DecodeResponse(body)
			if err != nil {
				t.Fatal(err)
			}
			return x.Status.String(), holderIn(t, &x)
		}
	}
}

// holderIn returns the token of the holder that an answer names, or zero.
func holderIn(t *testing.T, x *wire.Response) uint64 {
	t.Helper()
	if x.Status != wire.StatusOK {
		return 0
	}
	info, err := wire.DecodeLockInfo(x.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if len(info.Holders) == 0 {
		return 0
	}
	return info.Holders[0].Token
}
