package client

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"lockd/netio/wire"
)

// bench is one Core whose conns a test plays by hand.
type bench struct {
	t       *testing.T
	core    *Core
	now     Instant
	ready   Ready
	leaders []uint16
	hung    bool // the nodes answer no pings
	written map[ConnID][]byte
}

const benchLease = 10 * time.Second

func newBench(t *testing.T) *bench { return newBenchOf(t, 1) }

// newBenchOf returns a bench whose node 1 leads that many groups.
func newBenchOf(t *testing.T, groups int) *bench {
	b := &bench{t: t, now: 1e12, leaders: slices.Repeat([]uint16{1}, groups),
		written: map[ConnID][]byte{}}
	b.core = NewCore(CoreConfig{
		Endpoints: []string{"one", "two"}, Lease: benchLease, Drift: 0.01,
		DialTimeout: time.Second, MaxInFlight: 4, Seed: 1,
	}, b.now)
	b.core.Reach(b.now)
	b.core.Take(&b.ready)
	for i, d := range b.ready.Dials {
		b.welcome(d.Conn, uint16(i+1))
		b.core.Output(d.Conn, nil)
	}
	return b
}

// welcome plays the node's part of a greeting.
func (b *bench) welcome(conn ConnID, node uint16) {
	b.t.Helper()
	b.core.Connected(b.now, conn)
	b.core.Output(conn, nil)
	b.receive(conn, wire.AppendWelcome(nil, wire.Header{}, &wire.Welcome{
		Version: 1, Node: node, Limits: wire.DefaultLimits(), Leaders: b.leaders,
	}))
}

func (b *bench) receive(conn ConnID, frame []byte) {
	b.t.Helper()
	if used, err := b.core.Receive(b.now, conn, frame); err != nil || used != len(frame) {
		b.t.Fatalf("receive: used %d of %d, %v", used, len(frame), err)
	}
}

// after moves time and ticks when the Core wants it.
func (b *bench) after(d time.Duration) {
	end := b.now.Add(d)
	for b.core.Next() <= end {
		b.now = max(b.now, b.core.Next())
		b.core.Tick(b.now)
		b.answerPings()
	}
	b.now = end
}

// answerPings keeps what was written to conns for sent, and answers pings.
func (b *bench) answerPings() {
	b.t.Helper()
	for _, e := range b.core.endpoints {
		conn := e.conn
		out := b.core.Output(conn, nil)
		b.written[conn] = append(b.written[conn], out...)
		b.eachFrame(out, func(h wire.Header, body []byte) {
			if isPing(h, body) && !b.hung {
				b.receive(conn, wire.AppendKeepaliveAck(nil, wire.Header{Request: h.Request}, nil))
			}
		})
	}
}

// eachFrame cuts what was written to a conn into frames.
func (b *bench) eachFrame(out []byte, do func(h wire.Header, body []byte)) {
	b.t.Helper()
	for len(out) > 0 {
		n, err := wire.FrameBytes(out, wire.MaxFrameBytes)
		if err != nil {
			b.t.Fatal(err)
		}
		h, body, err := wire.Parse(out[:n])
		if err != nil {
			b.t.Fatal(err)
		}
		do(h, body)
		out = out[n:]
	}
}

func isPing(h wire.Header, body []byte) bool {
	if h.Kind != wire.KindKeepalive {
		return false
	}
	refs, err := wire.DecodeKeepalive(body)
	return err == nil && refs.Len() == 0
}

// sent returns the frames of a kind, but for pings, that were written to a conn.
func (b *bench) sent(conn ConnID, kind wire.Kind) []wire.Header {
	b.t.Helper()
	b.core.Tick(b.now)
	var all []wire.Header
	b.answerPings()
	out := b.written[conn]
	delete(b.written, conn)
	b.eachFrame(out, func(h wire.Header, body []byte) {
		if h.Kind == kind && !isPing(h, body) {
			all = append(all, h)
		}
	})
	return all
}

func (b *bench) one(conn ConnID, kind wire.Kind) wire.Header {
	b.t.Helper()
	all := b.sent(conn, kind)
	if len(all) != 1 {
		b.t.Fatalf("got %d frames of kind %s on conn %d, want one", len(all), kind, conn)
	}
	return all[0]
}

func (b *bench) respond(conn ConnID, h wire.Header, r wire.Response) {
	b.t.Helper()
	b.receive(conn, wire.AppendResponse(nil, wire.Header{Group: h.Group, Request: h.Request}, &r))
}

// acquire starts a Call and, the first time, opens the session.
func (b *bench) acquire(name string) *Call {
	b.t.Helper()
	x := &Call{Kind: wire.KindAcquire, Flags: wire.FlagWait, Name: name, Mode: wire.ModeEX}
	b.core.Start(x)
	if b.core.groups[x.Group].session.state != sessionOpen {
		open := b.one(1, wire.KindOpenSession)
		b.respond(1, open, wire.Response{Status: wire.StatusOK, Token: 9})
	}
	return x
}

// TestNodeThatOnlyGreets proves that a node which takes conns and greets, and does
// nothing else, as when its disk hangs, is left for another one (F-D8).
func TestNodeThatOnlyGreets(t *testing.T) {
	b := newBench(t)
	b.hung = true
	b.core.Start(&Call{Kind: wire.KindAcquire, Name: "a"})
	b.one(1, wire.KindOpenSession)
	b.after(pingAfter + pingTimeout)
	b.core.Take(&b.ready)
	if !slices.Contains(b.ready.Closes, 1) {
		t.Error("a conn that has brought nothing but a welcome is kept")
	}
	if got := len(b.sent(2, wire.KindOpenSession)); got != 1 {
		t.Errorf("got %d sessions asked for of the other node, want 1", got)
	}
}

// TestLeaseFromSend proves that a lease counts from the send of what was
// answered, for the opening and for every renewal (I25).
func TestLeaseFromSend(t *testing.T) {
	b := newBench(t)
	span := Instant(float64(benchLease) * 0.98)
	start := b.now
	x := &Call{Kind: wire.KindAcquire, Name: "a"}
	b.core.Start(x)
	open := b.one(1, wire.KindOpenSession)
	b.after(2 * time.Second)
	b.respond(1, open, wire.Response{Status: wire.StatusOK, Token: 9})
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
	if got, want := b.core.ValidUntil(x), start+span; got != want {
		t.Errorf("opened: got %d, want %d", got-start, want-start)
	}
	b.after(benchLease/3 - 2*time.Second)
	beat := b.one(1, wire.KindKeepalive)
	sentAt := b.now
	b.after(time.Second)
	ack := []wire.Renewal{{Session: 9, Code: wire.CodeRenewed}}
	b.receive(1, wire.AppendKeepaliveAck(nil, wire.Header{Request: beat.Request}, ack))
	if got, want := b.core.ValidUntil(x), sentAt+span; got != want {
		t.Errorf("renewed: got %d, want %d", got-start, want-start)
	}
	b.core.Take(&b.ready)
	b.now = sentAt + span - 1
	b.core.Tick(b.now)
	if x.State() != StateHeld {
		t.Errorf("one nanosecond before its end: got state %d, want held", x.State())
	}
	b.now++
	b.core.Tick(b.now)
	b.core.Take(&b.ready)
	if x.State() != StateLost || len(b.ready.Lost) != 1 {
		t.Errorf("at its end: got state %d and %d losses, want lost", x.State(), len(b.ready.Lost))
	}
}

// TestOldAnswerIgnored proves that after Moved only the answer to the new send
// counts: the old leader's may be about what the new one overtakes (I19).
func TestOldAnswerIgnored(t *testing.T) {
	b := newBench(t)
	x := b.acquire("a")
	old := b.one(1, wire.KindAcquire)
	b.receive(1, wire.AppendMoved(nil, wire.Header{}, &wire.Moved{Leader: 2}))
	again := b.one(2, wire.KindAcquire)
	if again.Request != old.Request {
		t.Errorf("got request %d, then %d, want the same", old.Request, again.Request)
	}
	b.respond(1, old, wire.Response{Status: wire.StatusHeld, Token: 3})
	if x.State() != StateOpen {
		t.Fatalf("an old answer counted: %v", x.Err)
	}
	b.respond(2, again, wire.Response{Status: wire.StatusOK, Token: 4})
	if x.State() != StateHeld || x.Token != 4 {
		t.Errorf("got state %d and token %d, want held and 4", x.State(), x.Token)
	}
}

// TestReleaseTwice proves that a Release which was sent again and finds no hold
// has worked, and one sent once has not, nor one whose earlier sends were refused for
// lack of room (I18, I19).
func TestReleaseTwice(t *testing.T) {
	for _, moved := range []int{0, 1, 2} {
		b := newBench(t)
		x := b.acquire("a")
		b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
		x.Kind = wire.KindRelease
		b.core.Start(x)
		conn := ConnID(1)
		h := b.one(conn, wire.KindRelease)
		if moved == 1 {
			b.receive(1, wire.AppendMoved(nil, wire.Header{}, &wire.Moved{Leader: 2}))
			conn = 2
			h = b.one(conn, wire.KindRelease)
		}
		if moved == 2 {
			b.respond(conn, h, wire.Response{Status: wire.StatusBusy, RetryMillis: 1})
			b.after(10 * time.Millisecond)
			h = b.one(conn, wire.KindRelease)
		}
		b.respond(conn, h, wire.Response{Status: wire.StatusNotHolder})
		if got := errors.Is(x.Err, ErrLost); got != (moved != 1) {
			t.Errorf("way %d: got %v", moved, x.Err)
		}
	}
}

// TestShorterTimeCountsFromSend proves that a detached hold counts no longer than a
// renewal gives it that was sent, be its answer late or that to an earlier one (I25).
func TestShorterTimeCountsFromSend(t *testing.T) {
	b := newBench(t)
	x := &Call{Kind: wire.KindAcquire, Flags: wire.FlagDetached, Name: "a", Mode: wire.ModeEX,
		Session: wire.DetachedOwner | 7, TTL: time.Hour}
	b.core.Start(x)
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
	renew := func(ttl time.Duration) wire.Header {
		b.core.Start(&Call{Kind: wire.KindRenewHold, Flags: wire.FlagDetached, Name: "a",
			Session: x.Session, Token: x.Token, TTL: ttl, Hold: x})
		return b.one(1, wire.KindRenewHold)
	}
	longer := renew(2 * time.Hour)
	if left := b.core.ValidUntil(x).Sub(b.now); left < 50*time.Minute {
		t.Errorf("a longer time was asked for: got %s left", left)
	}
	start := b.now
	renew(10 * time.Second)
	b.respond(1, longer, wire.Response{Status: wire.StatusOK})
	if left := b.core.ValidUntil(x).Sub(b.now); left > 10*time.Second {
		t.Errorf("a shorter time was asked for: got %s left", left)
	}
	b.after(10 * time.Second)
	b.core.Take(&b.ready)
	if x.State() != StateLost || len(b.ready.Lost) != 1 {
		t.Errorf("after %s: got state %d, want it lost", b.now.Sub(start), x.State())
	}
}

// TestShorterTimeGivenUp proves that a renewal that gives a detached hold less counts
// though its caller has gone, beside one that was sent before and gives it more (I25).
func TestShorterTimeGivenUp(t *testing.T) {
	b := newBench(t)
	x := &Call{Kind: wire.KindAcquire, Flags: wire.FlagDetached, Name: "a", Mode: wire.ModeEX,
		Session: wire.DetachedOwner | 7, TTL: time.Hour}
	b.core.Start(x)
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
	renew := func(ttl time.Duration) *Call {
		y := &Call{Kind: wire.KindRenewHold, Flags: wire.FlagDetached, Name: "a",
			Session: x.Session, Token: x.Token, TTL: ttl, Hold: x}
		b.core.Start(y)
		return y
	}
	renew(2 * time.Hour)
	longer := b.one(1, wire.KindRenewHold)
	shorter := renew(10 * time.Second)
	b.one(1, wire.KindRenewHold)
	b.core.Abandon(shorter, ErrUnavailable)
	b.respond(1, longer, wire.Response{Status: wire.StatusOK})
	if left := b.core.ValidUntil(x).Sub(b.now); left > 10*time.Second {
		t.Errorf("a shorter time was asked for: got %s left", left)
	}
	renew(time.Hour)
	b.respond(1, b.one(1, wire.KindRenewHold), wire.Response{Status: wire.StatusOK})
	if left := b.core.ValidUntil(x).Sub(b.now); left < 50*time.Minute {
		t.Errorf("a longer time was asked for since: got %s left", left)
	}
}

// TestRefusedAsBusyCountsAnew proves that what a node had no room for does not count from
// then: a short hold that is granted later would be over before anybody had it.
func TestRefusedAsBusyCountsAnew(t *testing.T) {
	b := newBench(t)
	x := &Call{Kind: wire.KindAcquire, Flags: wire.FlagDetached, Name: "a", Mode: wire.ModeEX,
		Session: wire.DetachedOwner | 7, TTL: 100 * time.Millisecond}
	b.core.Start(x)
	for range 3 {
		b.respond(1, b.one(1, wire.KindAcquire),
			wire.Response{Status: wire.StatusBusy, RetryMillis: 100})
		b.after(200 * time.Millisecond)
	}
	sent := x.notBefore
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
	until := b.core.ValidUntil(x)
	if most := sent.Add(100 * time.Millisecond); until <= sent || until > most {
		t.Errorf("got a hold until %s after it was asked for last, want 0 to 100ms", until.Sub(sent))
	}
}

// TestReleaseAsksNothing proves that who gives back what it waited for neither looks
// for circles nor asks for its place any more.
func TestReleaseAsksNothing(t *testing.T) {
	b := newBench(t)
	b.core.endpoints[0].version = wire.VersionWhole
	x := &Call{Kind: wire.KindAcquire, Flags: wire.FlagWait | wire.FlagDetect, Name: "a",
		Mode: wire.ModeEX, Place: &Place{}}
	b.core.Start(x)
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
	asked := b.one(1, wire.KindAcquire)
	b.respond(1, asked, wire.Response{Status: wire.StatusOK, Token: 1})
	b.after(time.Second)
	x.Kind = wire.KindRelease
	b.core.Start(x)
	if got := len(b.sent(1, wire.KindWatch)); got != 0 || x.chase != nil || x.place != nil {
		t.Errorf("got %d watches, %+v and %+v, want nothing but the release", got, x.place, x.chase)
	}
}

// TestInFlightBound proves that the bound is a refusal, and only as long as it
// is reached (I22).
func TestInFlightBound(t *testing.T) {
	b := newBench(t)
	first := b.acquire("a")
	for range 3 {
		b.acquire("a")
	}
	if x := b.acquire("a"); !errors.Is(x.Err, ErrBusy) {
		t.Errorf("fifth of four: got %v, want ErrBusy", x.Err)
	}
	b.core.Abandon(first, errGone)
	if x := b.acquire("a"); x.State() != StateOpen {
		t.Errorf("after one ended: got %v, want open", x.Err)
	}
}

// TestOtherClusterRefused proves that a node of another cluster is not asked
// for anything (F-N6).
func TestOtherClusterRefused(t *testing.T) {
	b := newBench(t)
	b.core.Disconnected(b.now, 2, errors.New("reset"))
	b.after(time.Second)
	b.core.Take(&b.ready)
	x := &Call{Kind: wire.KindStatus, Node: 2, Timeout: time.Second}
	b.core.Start(x)
	b.core.Tick(b.now)
	b.core.Take(&b.ready)
	d := b.ready.Dials[len(b.ready.Dials)-1]
	b.core.Connected(b.now, d.Conn)
	_, err := b.core.Receive(b.now, d.Conn, wire.AppendWelcome(nil, wire.Header{}, &wire.Welcome{
		Version: 1, Node: 2, Cluster: 99, Limits: wire.DefaultLimits(), Leaders: []uint16{1},
	}))
	if !errors.Is(err, ErrRefused) {
		t.Errorf("got %v, want ErrRefused", err)
	}
	b.core.Take(&b.ready)
	if len(b.ready.Closes) != 1 || b.ready.Closes[0] != d.Conn {
		t.Errorf("got closes %v, want conn %d", b.ready.Closes, d.Conn)
	}
	b.after(2 * time.Second) // nobody says where else node 2 might be
	if !errors.Is(x.Err, ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", x.Err)
	}
}

// TestKeepaliveUnanswered proves that a new leader is asked to renew at once, and
// that a group that is not renewed is looked for elsewhere.
func TestKeepaliveUnanswered(t *testing.T) {
	b := newBench(t)
	b.acquire("a")
	b.after(benchLease / 3)
	if h := b.one(1, wire.KindKeepalive); h.Request == 0 {
		t.Error("got a keepalive without an id")
	}
	b.receive(1, wire.AppendMoved(nil, wire.Header{}, &wire.Moved{Leader: 2}))
	if got := len(b.sent(2, wire.KindKeepalive)); got != 1 {
		t.Errorf("after a move: got %d keepalives at the new leader, want 1 at once", got)
	}
	b.after(benchLease/4 + time.Second)
	if b.core.groups[0].via == 1 && b.core.groups[0].epoch < 3 {
		t.Error("a leader that does not renew is still believed")
	}
}

// A try that was still out when the Core closed needs no session any more: none
// is opened for it, however often conns break (F-K1).
func TestNoSessionOpenedAfterClose(t *testing.T) {
	b := newBench(t)
	held := b.acquire("a")
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 3})
	if held.State() != StateHeld {
		t.Fatalf("first lock: got state %d, want held", held.State())
	}
	try := &Call{Kind: wire.KindAcquire, Name: "b", Mode: wire.ModeEX}
	b.core.Start(try)
	b.one(1, wire.KindAcquire)
	b.core.Close()
	b.one(1, wire.KindCloseSession)
	b.core.Disconnected(b.now, 1, errors.New("reset"))
	for range 8 {
		b.after(500 * time.Millisecond)
		b.core.Take(&b.ready)
		for _, d := range b.ready.Dials {
			b.welcome(d.Conn, 1)
		}
		for conn := ConnID(1); conn <= b.core.lastConn; conn++ {
			if got := b.sent(conn, wire.KindOpenSession); len(got) != 0 {
				t.Fatalf("conn %d: got a session opened after Close, want none", conn)
			}
		}
	}
	b.after(benchLease)
	if n := b.core.Closing(); n != 0 {
		t.Errorf("got %d calls still open after the lease, want none", n)
	}
}

// TestWholeRoundIsAsked proves that nodes which know nothing, or name only each
// other, keep no caller from the rest (G8).
func TestWholeRoundIsAsked(t *testing.T) {
	for name, hints := range map[string][3]uint16{
		"no hints": {}, "each other": {0, 2, 1}, "themselves": {0, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bench{t: t, now: 1e12, leaders: []uint16{0}, written: map[ConnID][]byte{}}
			b.core = NewCore(CoreConfig{
				Endpoints: []string{"n1", "n3", "n4", "n2"}, Lease: benchLease, Drift: 0.01,
				DialTimeout: time.Second, MaxInFlight: 4, Seed: 1,
			}, b.now)
			b.core.Reach(b.now)
			dialed := b.turnAway(map[string]uint16{"n1": 1, "n2": 2}, hints)
			for _, address := range []string{"n3", "n4"} {
				if dialed[address] < 5 {
					t.Errorf("%s was dialed %d times in a minute, want 5 at least: %v", address,
						dialed[address], dialed)
				}
			}
		})
	}
}

// turnAway has some nodes answer all they are asked for a minute with a hint, and
// the others refuse conns. It returns how often each address was dialed.
func (b *bench) turnAway(nodes map[string]uint16, hints [3]uint16) map[string]int {
	dialed, up, started := map[string]int{}, map[ConnID]uint16{}, false
	for end := b.now.Add(time.Minute); b.now < end; b.after(10 * time.Millisecond) {
		b.core.Take(&b.ready)
		for _, d := range b.ready.Dials {
			dialed[d.Address]++
			if id := nodes[d.Address]; id != 0 {
				b.welcome(d.Conn, id)
				up[d.Conn] = id
			} else {
				b.core.Disconnected(b.now, d.Conn, errors.New("refused"))
			}
		}
		if len(up) == len(nodes) && !started {
			started = true
			b.core.Start(&Call{Kind: wire.KindAcquire, Flags: wire.FlagWait, Name: "x", Mode: wire.ModeEX})
		}
		for conn, id := range up {
			for _, h := range b.sent(conn, wire.KindOpenSession) {
				b.respond(conn, h, notLeader(hints[id]))
			}
		}
	}
	return dialed
}

// TestAmendRefusedComesNew proves that an amend which was refused for lack of room has a
// new number when it is sent again, so that it counts behind a later one of the same
// hold, and keeps it if an earlier send may have had its effect.
func TestAmendRefusedComesNew(t *testing.T) {
	b := newBench(t)
	for _, e := range b.core.endpoints {
		e.version = wire.VersionWhole
	}
	x := b.acquire("a")
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
	y := &Call{Kind: wire.KindAmend, Name: "a", Hold: x,
		Terms: &wire.Terms{Fields: wire.TermPayload, Payload: []byte("p")}}
	b.core.Start(y)
	busy := func(conn ConnID, h wire.Header) wire.Header {
		b.respond(conn, h, wire.Response{Status: wire.StatusBusy, RetryMillis: 1})
		b.after(10 * time.Millisecond)
		return b.one(conn, wire.KindAmend)
	}
	first := b.one(1, wire.KindAmend)
	again := busy(1, first)
	if again.Request <= first.Request {
		t.Errorf("refused: got request %d again", first.Request)
	}
	b.receive(1, wire.AppendMoved(nil, wire.Header{}, &wire.Moved{Leader: 2}))
	h := b.one(2, wire.KindAmend)
	if last := busy(2, h); h.Request != again.Request || last.Request != again.Request {
		t.Errorf("unsure: got requests %d and %d, want %d", h.Request, last.Request, again.Request)
	}
}

// TestRecheckOfManyHolds proves that a group is asked about all its holds, page by page,
// also if the next has become one of another group meanwhile.
func TestRecheckOfManyHolds(t *testing.T) {
	b := newBenchOf(t, 2)
	for _, e := range b.core.endpoints {
		e.version = wire.VersionWhole
	}
	var names [2][]string
	for i := 0; len(names[0]) < 2 || len(names[1]) < 1; i++ {
		n := fmt.Sprint("n", i)
		g := wire.GroupOf("", n, 2)
		names[g] = append(names[g], n)
	}
	token := uint64(0)
	granted := func(conn ConnID) {
		token++
		asked := b.one(conn, wire.KindAcquire)
		b.respond(conn, asked, wire.Response{Status: wire.StatusOK, Token: token})
	}
	b.acquire(names[0][0])
	granted(1)
	y := b.acquire(names[0][1])
	granted(1)
	b.core.limits.FrameBytes = wire.HeaderBytes + 2 + 16 // one token
	b.receive(1, wire.AppendMoved(nil, wire.Header{}, &wire.Moved{Leader: 2}))
	first := b.one(2, wire.KindCheckTokens)
	y.Kind = wire.KindRelease
	b.core.Start(y)
	b.respond(2, b.one(2, wire.KindRelease), wire.Response{Status: wire.StatusOK})
	y.Kind, y.Name = wire.KindAcquire, names[1][0]
	b.core.Start(y)
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 11})
	granted(1)
	b.respond(2, first, wire.Response{Status: wire.StatusOK, Payload: wire.AppendTokenStates(nil,
		&wire.TokenStates{States: []wire.TokenState{{Standing: wire.TokenCurrent, Newest: 1}}})})
	if h := b.one(2, wire.KindCheckTokens); h.Group != 0 {
		t.Errorf("got group %d asked, want 0", h.Group)
	}
}

// TestChasedGroupBeyondAll proves that a node which tells of a wait in a group that the
// cluster does not have has its conn closed (I26).
func TestChasedGroupBeyondAll(t *testing.T) {
	b := newBench(t)
	for _, e := range b.core.endpoints {
		e.version = wire.VersionWhole
	}
	x := &Call{Kind: wire.KindAcquire, Flags: wire.FlagWait | wire.FlagDetect, Name: "a",
		Mode: wire.ModeEX}
	b.core.Start(x)
	b.respond(1, b.one(1, wire.KindOpenSession), wire.Response{Status: wire.StatusOK, Token: 9})
	request := b.one(1, wire.KindAcquire).Request
	b.after(100 * time.Millisecond)
	asked := b.one(1, wire.KindChase)
	flow := b.core.flow(x)
	own := wire.ChasedWait{Flow: flow, Session: 9, Request: request,
		Blockers: []wire.Blocker{{Flow: wire.Flow{Client: 5}, Session: 4, Token: 2}}}
	far := wire.ChasedWait{Flow: wire.Flow{Client: 5}, Session: 4, Request: 3, Group: 7, Weight: 255,
		Blockers: []wire.Blocker{{Flow: flow, Session: 9, Token: 1}}}
	payload := wire.AppendChased(nil, &wire.Chased{Waits: []wire.ChasedWait{own, far}})
	frame := wire.AppendResponse(nil, wire.Header{Request: asked.Request},
		&wire.Response{Status: wire.StatusOK, Payload: payload})
	if _, err := b.core.Receive(b.now, 1, frame); !errors.Is(err, ErrProtocol) {
		t.Errorf("got %v, want ErrProtocol", err)
	}
}

// TestModeAfterCancel proves that a hold whose conversion was given up, and will never
// be granted, has the mode again that it had.
func TestModeAfterCancel(t *testing.T) {
	b := newBench(t)
	for _, e := range b.core.endpoints {
		e.version = wire.VersionWhole
	}
	x := b.acquire("a")
	x.Mode = wire.ModeCW
	b.respond(1, b.one(1, wire.KindAcquire), wire.Response{Status: wire.StatusOK, Token: 1})
	y := &Call{Kind: wire.KindConvert, Flags: wire.FlagWait, Name: "a", Mode: wire.ModePR, Hold: x}
	b.core.Start(y)
	b.one(1, wire.KindConvert)
	b.core.Abandon(y, errGone)
	if x.Mode != wire.ModeCR {
		t.Errorf("while that is not known: got mode %v, want CR", x.Mode)
	}
	b.respond(1, b.one(1, wire.KindCancel), wire.Response{Status: wire.StatusCancelled})
	if x.Mode != wire.ModeCW {
		t.Errorf("cancelled: got mode %v, want CW", x.Mode)
	}
}
