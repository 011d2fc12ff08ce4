package node

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// askMost asks for a lock with a max hold, under the request id of h.
func (u *user) askMost(h wire.Header, name []byte, millis uint32) {
	u.send(wire.AppendAsk(nil, h, &wire.Ask{Kind: wire.KindAcquire, Session: u.session,
		Epoch: u.epoch, Mode: wire.ModeEX, Name: name,
		Terms: wire.Terms{Fields: wire.TermMaxHold, MaxHoldMillis: millis}}))
}

// losses are the Losts that a user was sent.
func (u *user) losses() (all []wire.Lost) {
	for _, n := range u.w.nodes {
		for b := n.sent[u.conn]; len(b) > 0; {
			size, _ := wire.FrameBytes(b, wire.MaxFrameBytes)
			h, body, err := wire.Parse(b[:size])
			if h.Kind == wire.KindLost {
				var x wire.Lost
				x, err = wire.DecodeLost(body)
				all = append(all, x)
			}
			if err != nil {
				u.w.t.Fatal(err)
			}
			b = b[size:]
		}
	}
	return all
}

// left asks what is left of a max hold.
func (u *user) left(name []byte, token uint64) wire.TokenState {
	u.w.t.Helper()
	h := u.header(wire.KindCheckTokens)
	h.Flags = wire.FlagDetails
	x := u.w.call(u.conn, h,
		wire.AppendCheckTokens(nil, h, []wire.TokenRef{{Token: token, Name: name}}))
	got, err := wire.DecodeTokensLeft(x.Payload)
	if x.Status != wire.StatusOK || err != nil || len(got.States) != 1 {
		u.w.t.Fatalf("check: got %v, %d states, %v, want ok and one", x.Status, len(got.States), err)
	}
	return got.States[0]
}

// A hold with a max hold ends although its session lives, and its holder is told; a
// retry at the next leader finds it with what is left of it, and who waits gets the
// lock in the slot that ends it.
func TestMaxHold(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b := w.user(1, 0), w.user(2, 0)
	h := a.header(wire.KindAsk)
	h.Flags = wire.FlagWait
	a.askMost(h, name, 2500)
	token := a.want(h.Request, wire.StatusOK).Token
	if s := a.left(name, token); s.LeftMillis > 2500 || s.LeftMillis < 2000 {
		t.Errorf("left: got %d ms, want nearly 2500", s.LeftMillis)
	}
	if s := a.left(name, token+1); s.LeftMillis != wire.NoMaxHold || s.Standing != wire.TokenStale {
		t.Errorf("left of no hold: got %+v, want none", s)
	}
	if left := a.get(name).Holders[0].LeaseMillis; left > 2700 {
		t.Errorf("get: got a lease of %d ms, want what is left of the max hold", left)
	}
	old := w.leaderOf(0)
	w.kill(old.id)
	w.run(300 * Millisecond)
	a.epoch, b.epoch = 2, 2
	a.askMost(h, name, 2500)
	if x := a.want(h.Request, wire.StatusOK); x.Token != token {
		t.Errorf("again: got token %d, want %d", x.Token, token)
	}
	if s := a.left(name, token); s.LeftMillis > 2500 || s.LeftMillis < 1500 {
		t.Errorf("left after the change of leader: got %d ms, want little less", s.LeftMillis)
	}
	hw := b.header(wire.KindAsk)
	hw.Flags = wire.FlagWait
	b.askMost(hw, name, 60_000)
	granted := false
	for range 40 {
		w.run(100 * Millisecond)
		a.keepalive()
		b.keepalive()
		var info lockfsm.LockInfo
		if w.leaderOf(0).node.groups[0].machine.Lock(name, &info, lockfsm.All) && len(info.Waiters) == 0 {
			granted = true
			break
		}
	}
	if !granted {
		t.Fatal("the lock is not passed on")
	}
	if x := b.want(hw.Request, wire.StatusOK); x.Token <= token {
		t.Errorf("next: got token %d, want one above %d", x.Token, token)
	}
	lost := a.losses()
	if len(lost) != 1 || lost[0].Token != token || lost[0].Reason != wire.ReasonMaxHold ||
		lost[0].Session != a.session || string(lost[0].Name) != string(name) {
		t.Errorf("told: got %+v, want that token %d is lost by its max hold", lost, token)
	}
	if x := a.unlock(name, token); x.Status != wire.StatusNotHolder {
		t.Errorf("release: got %v, want not holder", x.Status)
	}
}

// While a node of the cluster may not know it, nobody may ask for a max hold.
func TestFP3MaxHoldNeedsAllNodes(t *testing.T) {
	o := testOptions()
	o.Format = lockfsm.FormatKinds
	w := newWorld(t, o)
	u := w.user(1, 0)
	h := u.header(wire.KindAsk)
	u.askMost(h, w.nameIn(0, 0), 1000)
	u.want(h.Request, wire.StatusUnsupported)
}
