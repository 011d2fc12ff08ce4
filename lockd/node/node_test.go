package node

import (
	"errors"
	"slices"
	"testing"

	"lockd/lockd/placement"
	"lockd/netio/wire"
	"lockd/paxos"
	"lockd/wal"
)

// user is a client on one conn, as far as the tests need one.
type user struct {
	w        *world
	conn     ConnID
	group    uint16
	session  uint64
	requests uint64
	epoch    uint32
}

func (w *world) user(c ConnID, group uint16) *user {
	w.t.Helper()
	return w.lasting(c, group, 2000)
}

// lasting is a user whose session lives so long.
func (w *world) lasting(c ConnID, group uint16, leaseMillis uint32) *user {
	w.t.Helper()
	u := &user{w: w, conn: c, group: group, requests: uint64(c) * 1000, epoch: 1}
	h := u.header(wire.KindOpenSession)
	x := w.call(c, h, wire.AppendOpenSession(nil, h, &wire.OpenSession{
		Nonce: wire.Nonce{byte(c), byte(group)}, Epoch: u.epoch, LeaseMillis: leaseMillis,
		Name: []byte("tester"),
	}))
	if x.Status != wire.StatusOK || x.Token == 0 {
		w.t.Fatalf("open session: got %v token %d, want ok", x.Status, x.Token)
	}
	u.session = x.Token
	return u
}

func (u *user) header(k wire.Kind) wire.Header {
	u.requests++
	return wire.Header{Kind: k, Group: u.group, Request: u.requests}
}

// acquire sends an acquire and returns its request id.
func (u *user) acquire(name []byte, flags wire.Flags) uint64 {
	h := u.header(wire.KindAcquire)
	h.Flags = flags
	u.w.leaderOf(u.group).inbox.Request(u.conn, wire.AppendAcquire(nil, h, &wire.Acquire{
		Session: u.session, Epoch: u.epoch, Mode: wire.ModeEX, Name: name,
	}))
	return h.Request
}

// wait returns the response to a request, which must come within a while.
func (u *user) wait(request uint64, within Nanos) wire.Response {
	u.w.t.Helper()
	for end := u.w.now + within; u.w.now < end; {
		u.w.run(Millisecond)
		for _, n := range u.w.nodes {
			if x, ok := n.response(u.conn, request); ok {
				return x
			}
		}
	}
	u.w.t.Fatalf("request %d: no response within %d ms", request, within/Millisecond)
	return wire.Response{}
}

func (u *user) lock(name []byte) wire.Response {
	u.w.t.Helper()
	return u.wait(u.acquire(name, wire.FlagWait), Second)
}

func (u *user) unlock(name []byte, token uint64) wire.Response {
	u.w.t.Helper()
	h := u.header(wire.KindRelease)
	return u.w.call(u.conn, h, wire.AppendRelease(nil, h, &wire.Release{
		Session: u.session, Token: token, Epoch: u.epoch, Name: name,
	}))
}

// release sends a release and does not wait for its answer.
func (u *user) release(name []byte, token uint64) {
	h := u.header(wire.KindRelease)
	u.w.leaderOf(u.group).inbox.Request(u.conn, wire.AppendRelease(nil, h, &wire.Release{
		Session: u.session, Token: token, Epoch: u.epoch, Name: name,
	}))
}

func (u *user) get(name []byte) wire.LockInfo {
	u.w.t.Helper()
	h := u.header(wire.KindGet)
	x := u.w.call(u.conn, h, wire.AppendGet(nil, h, &wire.Get{Name: name}))
	if x.Status == wire.StatusNotFound {
		return wire.LockInfo{}
	}
	info, err := wire.DecodeLockInfo(x.Payload)
	if err != nil {
		u.w.t.Fatalf("get: %v (status %v)", err, x.Status)
	}
	return info
}

// keepalive sends one and does not wait for its answer.
func (u *user) keepalive() uint64 {
	h := u.header(wire.KindKeepalive)
	h.Group = 0
	refs := []wire.SessionRef{{Session: u.session, Group: u.group}}
	frame := wire.AppendKeepalive(nil, h, refs)
	u.w.leaderOf(u.group).inbox.Request(u.conn, frame)
	return h.Request
}

func TestClusterIsBornAndLeadersAreSpread(t *testing.T) {
	w := newWorld(t, testOptions())
	for g := range uint16(4) {
		if got, want := w.leaderOf(g).id, g%3+1; got != want {
			t.Errorf("leader of group %d: got node %d, want its preferred node %d", g, got, want)
		}
	}
	for id, n := range w.nodes {
		got, err := DecodeIdentity(n.stored)
		if err != nil || !got.Born || len(got.Birth.Nodes) != 3 {
			t.Errorf("node %d: identity %+v, error %v; want born with 3 disks", id, got, err)
		}
	}
}

func TestLockIsHandedOverInOrder(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(1, 0)
	var users []*user
	for c := range ConnID(4) {
		users = append(users, w.user(c+1, 1))
	}
	first := users[0].lock(name)
	if first.Status != wire.StatusOK || first.Token == 0 {
		t.Fatalf("lock: got %v, want ok with a token", first.Status)
	}
	var waiting []uint64
	for _, u := range users[1:] {
		waiting = append(waiting, u.acquire(name, wire.FlagWait))
		w.run(20 * Millisecond)
	}
	if x := users[0].wait(users[0].acquire(name, 0), Second); x.Status != wire.StatusHeld {
		t.Errorf("try: got %v, want held", x.Status)
	}
	if got := users[0].get(name); got.HolderCount != 1 || got.WaiterCount != 3 {
		t.Errorf("get: got %d holders %d waiters, want 1 and 3", got.HolderCount, got.WaiterCount)
	}
	token, holder := first.Token, users[0]
	for i, request := range waiting {
		unlocked := holder.unlock(name, token)
		if unlocked.Status != wire.StatusOK {
			t.Fatalf("unlock: got %v, want ok", unlocked.Status)
		}
		holder = users[i+1]
		x := holder.wait(request, 100*Millisecond)
		if x.Slot != unlocked.Slot {
			t.Errorf("hand-over: released in slot %d, granted in slot %d; want one commit",
				unlocked.Slot, x.Slot)
		}
		if x.Status != wire.StatusOK || x.Token <= token {
			t.Fatalf("waiter %d: got %v token %d, want ok above %d", i, x.Status, x.Token, token)
		}
		token = x.Token
	}
	if x := users[0].unlock(name, token); x.Status != wire.StatusNotHolder {
		t.Errorf("unlock by another: got %v, want not holder", x.Status)
	}
}

func TestHeldLockSurvivesItsLeader(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	held := a.lock(name)
	request := b.acquire(name, wire.FlagWait)
	w.run(50 * Millisecond)
	old := w.leaderOf(0)
	w.kill(old.id)
	w.run(300 * Millisecond)
	if next := w.leaderOf(0); next.id == old.id {
		t.Fatal("the dead node still leads")
	}
	if got := a.get(name); len(got.Holders) != 1 || got.Holders[0].Token != held.Token ||
		got.WaiterCount != 1 {
		t.Fatalf("after failover: got %+v, want token %d and one waiter", got, held.Token)
	}
	// The waiter asks again under a raised epoch and keeps its place.
	b.epoch++
	h := wire.Header{Kind: wire.KindAcquire, Flags: wire.FlagWait, Group: 0, Request: request}
	w.leaderOf(0).inbox.Request(b.conn, wire.AppendAcquire(nil, h, &wire.Acquire{
		Session: b.session, Epoch: b.epoch, Mode: wire.ModeEX, Name: name,
	}))
	w.run(20 * Millisecond)
	a.epoch++
	if x := a.unlock(name, held.Token); x.Status != wire.StatusOK {
		t.Fatalf("unlock: got %v, want ok", x.Status)
	}
	if x := b.wait(request, Second); x.Status != wire.StatusOK || x.Token <= held.Token {
		t.Errorf("waiter: got %v token %d, want ok above %d", x.Status, x.Token, held.Token)
	}
	w.nodes[old.id].start()
	w.link(old.id)
	w.run(4 * Second)
	if got := w.leaderOf(0).id; got != old.id {
		t.Errorf("leader after the return: got node %d, want %d again", got, old.id)
	}
	w.converged()
}

// converged waits for a moment at which all machines stand at the same slots,
// and checks that they are equal.
func (w *world) converged() {
	w.t.Helper()
	for range 500 {
		if w.compare() {
			return
		}
		w.run(Millisecond)
	}
	w.t.Error("the machines never stood at the same slots")
}

// compare reports whether all nodes have applied the same slots.
func (w *world) compare() bool {
	w.t.Helper()
	type state struct{ applied, digest uint64 }
	want := make(map[uint16]state)
	same := true
	for _, p := range w.opts.Nodes {
		w.nodes[p.ID].node.Digests(func(g uint16, applied, digest uint64) {
			first, ok := want[g]
			want[g] = state{applied, digest}
			switch {
			case ok && first.applied != applied:
				same = false
			case ok && first.digest != digest:
				w.t.Errorf("group %d slot %d on node %d: got digest %x, want %x",
					g, applied, p.ID, digest, first.digest)
			}
		})
	}
	return same
}

func TestSessionExpiresUnlessRenewed(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(2, 0)
	a, b := w.user(1, 2), w.user(2, 2)
	a.lock(name)
	request := b.acquire(name, wire.FlagWait)
	for range 6 {
		w.run(500 * Millisecond)
		a.keepalive()
		b.keepalive()
	}
	if got := b.get(name); got.HolderCount != 1 || got.WaiterCount != 1 {
		t.Fatalf("renewed session: got %d holders, %d waiters; want 1, 1",
			got.HolderCount, got.WaiterCount)
	}
	before := w.now
	for {
		w.run(100 * Millisecond)
		b.keepalive()
		if _, ok := w.leaderOf(2).response(b.conn, request); ok {
			break
		}
		if w.now > before+5*Second {
			t.Fatal("the lock of a dead client was not passed on")
		}
	}
	if got := w.now - before; got < 1900*Millisecond {
		t.Errorf("session of 2000 ms ended after %d ms", got/Millisecond)
	}
}

func TestReplicaFarBehindTakesASnapshot(t *testing.T) {
	o := testOptions()
	o.CheckpointBytes = 2048
	o.RetainSlots = 4
	w := newWorld(t, o)
	w.kill(3)
	w.run(500 * Millisecond)
	u := w.user(1, 0)
	for i := range 200 {
		name := w.nameIn(0, i)
		x := u.lock(name)
		if i%2 == 0 {
			u.unlock(name, x.Token)
		}
		if i%20 == 0 {
			u.keepalive()
		}
	}
	w.nodes[3].start()
	w.link(3)
	for range 10 {
		w.run(200 * Millisecond)
		u.keepalive()
	}
	if w.nodes[3].node.stats.Installs == 0 {
		t.Error("no snapshot was installed")
	}
	w.run(100 * Millisecond)
	w.converged()
}

func TestFailedSaveIsTriedAgain(t *testing.T) {
	o := testOptions()
	o.CheckpointBytes = 512
	w := newWorld(t, o)
	bad := errors.New("no room")
	for _, n := range w.nodes {
		n.saveErr = bad
	}
	u := w.user(1, 0)
	name, kept := w.nameIn(0, 0), w.nameIn(0, 1)
	u.lock(kept)
	for range 20 {
		u.unlock(name, u.lock(name).Token)
	}
	w.run(Second)
	leader := w.leaderOf(0)
	if leader.node.stats.SaveFailures == 0 {
		t.Fatal("no save failed")
	}
	for _, n := range w.nodes {
		n.saveErr = nil
	}
	u.keepalive()
	w.run(3 * Second)
	if leader.node.stats.Saves == 0 {
		t.Error("no save after the store recovered")
	}
	if m := leader.load(leader.saved[0]); m.Summary(kept).Holders != 1 {
		t.Error("what changed before a save that failed is not in the checkpoint")
	}
}

func TestStalledDiskCostsLeadership(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.user(1, 0)
	old := w.leaderOf(0)
	old.syncing = w.now
	u.acquire(w.nameIn(0, 0), 0)
	w.run(3 * Second)
	if got := w.leaderOf(0).id; got == old.id {
		t.Errorf("leader of group 0: got node %d, whose disk does not move", got)
	}
}

// A follower whose disk does not move is not needed for a quorum, and what the leader
// goes on to say would have to be kept until the disk moves: it takes what its log has
// room for, and learns the rest afterwards (I22).
func TestFD8BacklogOfAStalledDiskIsBounded(t *testing.T) {
	w := newWorld(t, testOptions())
	u := w.lasting(1, 0, 60_000)
	led := w.leaderOf(0)
	idle := w.nodes[1+led.id%3]
	w.run(Second)
	idle.syncing = w.now
	taken := 0
	for end := w.now + 20*Second; w.now < end; taken++ {
		u.acquire(w.nameIn(0, taken%7), wire.FlagWait)
		w.run(4 * Millisecond)
	}
	if taken < 2*logRoom {
		t.Fatalf("got %d requests, want more than the log has room for", taken)
	}
	if got, most := idle.backlog(), logRoom+100; got > most || got < logRoom/2 {
		t.Errorf("%d records wait for the disk, want at most %d, and what there is room for", got, most)
	}
	idle.syncing = 0
	chosen := led.node.group(0).replica.Chosen()
	w.run(3 * Second)
	if got := idle.node.group(0).replica.Chosen(); got < chosen {
		t.Errorf("3 s after the disk moved: got slot %d, want at least %d", got, chosen)
	}
}

func TestDrainMovesEveryGroup(t *testing.T) {
	w := newWorld(t, testOptions())
	w.nodes[1].inbox.Drain(DrainToStop, nil)
	w.run(Second)
	for g := range uint16(4) {
		if w.leaderOf(g).id == 1 {
			t.Errorf("group %d is still led by the node that leaves", g)
		}
	}
}

func TestWipedDirectoryIsRefused(t *testing.T) {
	w := newWorld(t, testOptions())
	n := w.nodes[1].node
	h := w.nodes[3].node.PeerHello()
	h.From = 3
	if r := n.CheckPeer(&h); r != nil {
		t.Fatalf("the known disk: got %q, want admitted", r.Text)
	}
	h.Disk++
	if r := n.CheckPeer(&h); r == nil || r.Code != wire.RefusedDisk {
		t.Errorf("another disk: got %v, want RefusedDisk", r)
	}
	h.Disk--
	h.Cluster++
	if r := n.CheckPeer(&h); r == nil || r.Code != wire.RefusedCluster {
		t.Errorf("another cluster: got %v, want RefusedCluster", r)
	}
}

func recordOfNodes(nodes []placement.Node) *placement.Record {
	r := placement.Birth(nodes, 4, 3, 1)
	return &r
}

func TestBirthNeedsOneRoster(t *testing.T) {
	nodes := []paxos.NodeID{1, 2, 3}
	b := newBirth(paxos.Acceptor{Node: 1, Disk: 10}, nodes, nil)
	b.meet(2, 20)
	if b.complete() != nil {
		t.Fatal("complete without node 3")
	}
	b.meet(3, 30)
	b.recorded = recordOfNodes(b.complete())
	b.announced[1] = birthHash(b.recorded)
	b.hear(2, birthHash(b.recorded))
	if b.unanimous() {
		t.Error("unanimous before node 3 announced")
	}
	other := b.complete()
	other[2].Disk = 31
	b.hear(3, birthHash(recordOfNodes(other)))
	if b.unanimous() {
		t.Error("unanimous with another roster")
	}
	b.hear(3, birthHash(b.recorded))
	if !b.unanimous() {
		t.Error("not unanimous with three equal rosters")
	}
}

func TestClusterOfOneIsBornAndServes(t *testing.T) {
	o := testOptions()
	o.Nodes = o.Nodes[:1]
	w := newWorld(t, o)
	u := w.user(1, 0)
	if got := u.lock(w.nameIn(0, 0)); got.Status != wire.StatusOK {
		t.Errorf("lock in a cluster of one: got %v, want ok", got.Status)
	}
}

// A cancel must not overtake the try it is meant for, although the try waits
// for a confirmation that the cancel does not need.
func TestCancelDoesNotOvertakeATry(t *testing.T) {
	w := newWorld(t, testOptions())
	name := w.nameIn(1, 0)
	a, b := w.user(1, 1), w.user(2, 1)
	held := a.lock(name)
	a.release(name, held.Token)
	try := b.acquire(name, 0)
	h := b.header(wire.KindCancel)
	w.leaderOf(1).inbox.Request(b.conn, wire.AppendCancel(nil, h, &wire.Cancel{
		Session: b.session, Target: try, Epoch: b.epoch, Name: name,
	}))
	tried, cancelled := b.wait(try, Second), b.wait(h.Request, Second)
	switch {
	case tried.Status == wire.StatusOK && cancelled.Status == wire.StatusAlreadyGranted:
	case tried.Status == wire.StatusHeld && cancelled.Status == wire.StatusCancelled:
	default:
		t.Errorf("try %v, cancel %v: they disagree", tried.Status, cancelled.Status)
	}
	if got := b.get(name); tried.Status == wire.StatusHeld && got.HolderCount != 0 {
		t.Errorf("a cancelled try holds the lock: %+v", got)
	}
}

func TestEmptyKeepaliveIsAnswered(t *testing.T) {
	w := newWorld(t, testOptions())
	h := wire.Header{Kind: wire.KindKeepalive, Request: 7}
	w.nodes[2].inbox.Request(9, wire.AppendKeepalive(nil, h, nil))
	w.run(2 * Millisecond)
	got, _, err := wire.Parse(w.nodes[2].sent[9])
	if err != nil || got.Kind != wire.KindKeepaliveAck || got.Request != 7 {
		t.Errorf("got %+v, error %v; want an empty acknowledgement", got, err)
	}
}

// F-C2: a store that comes back without the checkpoint on whose strength the
// WAL dropped records leaves a hole, and the node must not start.
func TestFC2LostCheckpointIsNoticed(t *testing.T) {
	w := worldWithCheckpoints(t)
	w.nodes[2].losesCheckpoint()
}

// F-C2: a node may die when a checkpoint is saved and the log does not say so
// yet. Whatever the log drops for its sake after the next start, it says so first:
// should the checkpoint be lost then, that is noticed.
func TestFC2CheckpointIsMarkedAfterACrash(t *testing.T) {
	w := worldWithCheckpoints(t)
	n := w.nodes[2]
	w.kill(2)
	n.records = slices.DeleteFunc(n.records, func(r wal.Record) bool {
		return r.Group == savedMark
	})
	n.start()
	w.run(Second)
	n.losesCheckpoint()
}

// worldWithCheckpoints is a world in which node 2 has saved group 0.
func worldWithCheckpoints(t *testing.T) *world {
	t.Helper()
	o := testOptions()
	o.CheckpointBytes = 512
	w := newWorld(t, o)
	u := w.user(1, 0)
	name := w.nameIn(0, 0)
	for range 30 {
		u.unlock(name, u.lock(name).Token)
	}
	w.run(Second)
	if w.nodes[2].slots[0] == 0 {
		t.Fatal("group 0 was not saved")
	}
	return w
}

// losesCheckpoint recovers the node from its log alone, which must be refused.
func (n *testNode) losesCheckpoint() {
	n.w.t.Helper()
	o := n.w.opts
	o.Self = n.id
	rec := NewRecovery(n.node.identity, o)
	for i, r := range n.records {
		if err := rec.Replay(wal.LSN(i+1), r); err != nil {
			n.w.t.Fatal(err)
		}
	}
	if _, _, err := rec.group(0); !errors.Is(err, ErrLostCheckpoint) {
		n.w.t.Errorf("the checkpoint is lost: got %v, want ErrLostCheckpoint", err)
	}
}

// All nodes that leave together have nobody to hand over to, and must not wait
// for each other.
func TestDrainOfAllNodesEnds(t *testing.T) {
	w := newWorld(t, testOptions())
	for _, n := range w.nodes {
		n.inbox.Drain(DrainToStop, nil)
	}
	w.run(500 * Millisecond)
	for id, n := range w.nodes {
		if !n.node.Status().Drained {
			t.Errorf("node %d waits for a successor that leaves as well", id)
		}
	}
}
