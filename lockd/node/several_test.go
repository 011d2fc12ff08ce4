package node

import (
	"bytes"
	"slices"
	"testing"

	"lockd/netio/wire"
)

// namesIn returns n names of group 0, ascending.
func (w *world) namesIn(n int) [][]byte {
	var all [][]byte
	for i := range n {
		all = append(all, w.nameIn(0, i))
	}
	slices.SortFunc(all, bytes.Compare)
	return all
}

// acquireAll asks for names in exclusive mode and returns the request id.
func (u *user) acquireAll(names [][]byte, flags wire.Flags) uint64 {
	h := u.header(wire.KindAcquireAll)
	h.Flags = flags
	u.acquireAllAs(h, names)
	return h.Request
}

func (u *user) acquireAllAs(h wire.Header, names [][]byte) {
	var wants wire.Wants
	for _, name := range names {
		wants = wants.Append(wire.Want{Mode: wire.ModeEX, Name: name})
	}
	u.send(wire.AppendAcquireAll(nil, h, &wire.AcquireAll{Session: u.session, Epoch: u.epoch,
		Wants: wants}))
}

func (u *user) releaseAll(target, token uint64) wire.Response {
	u.w.t.Helper()
	h := u.header(wire.KindReleaseAll)
	return u.w.call(u.conn, h, wire.AppendReleaseAll(nil, h, &wire.ReleaseAll{Session: u.session,
		Token: token, Target: target, Epoch: u.epoch}))
}

// All of several names are granted or none, and the answer says which was in the
// way.
func TestSeveralNames(t *testing.T) {
	w := raisedWorld(t, testOptions())
	names := w.namesIn(4)
	a, b := w.user(1, 0), w.user(2, 0)
	first := a.acquireAll(names[:3], 0)
	token := a.want(first, wire.StatusOK).Token
	if info := a.get(names[2]); info.HolderCount != 1 || info.Holders[0].Token != token+2 {
		t.Errorf("third name: got %+v, want it held with token %d", info, token+2)
	}
	refused := b.want(b.acquireAll(names[1:], wire.FlagDetails), wire.StatusHeld)
	info, err := wire.DecodeLockInfo3(refused.Payload)
	if err != nil || !bytes.Equal(info.Name, names[1]) || refused.Position != 0 ||
		refused.Token != token+1 {
		t.Errorf("refused: got %+v, %+v, %v, want name 0 held with token %d", refused, info, err,
			token+1)
	}
	h := a.header(wire.KindGet)
	x := w.call(a.conn, h, wire.AppendGet(nil, h, &wire.Get{Name: names[3]}))
	if x.Status != wire.StatusNotFound {
		t.Errorf("last name after a refusal: got %v, want it not found", x.Status)
	}
	waits := b.acquireAll(names[1:], wire.FlagWait)
	w.run(20 * Millisecond)
	if x := a.unlock(names[1], token+1); x.Status != wire.StatusOK {
		t.Errorf("release of one: got %v, want ok", x.Status)
	}
	for _, want := range []wire.Status{wire.StatusOK, wire.StatusNotHolder} {
		if x := a.releaseAll(first, token); x.Status != want {
			t.Errorf("release of the rest: got %v, want %v", x.Status, want)
		}
	}
	got := b.want(waits, wire.StatusOK)
	if got.Token <= token+2 {
		t.Errorf("token: got %d, want it above %d", got.Token, token+2)
	}
	if x := b.releaseAll(waits, got.Token); x.Status != wire.StatusOK {
		t.Errorf("release of all: got %v, want ok", x.Status)
	}
	b.want(b.acquireAll([][]byte{names[1], names[0]}, 0), wire.StatusBadRequest)
	b.want(b.acquireAll([][]byte{names[1], w.nameIn(1, 0)}, 0), wire.StatusWrongGroup)
	if n := w.leaderOf(0).inFlight(b.conn); n != 0 {
		t.Errorf("in flight: got %d, want 0", n)
	}
}

// A wait for several names outlives its leader, and its retry finds the place,
// and then the grant.
func TestSeveralNamesAcrossLeaders(t *testing.T) {
	w := raisedWorld(t, testOptions())
	names := w.namesIn(3)
	a, b := w.lasting(1, 0, 60_000), w.lasting(2, 0, 60_000)
	held := a.lock(names[1])
	waits := b.acquireAll(names, wire.FlagWait)
	w.run(50 * Millisecond)
	w.kill(w.leaderOf(0).id)
	w.run(2 * Second)
	a.epoch, b.epoch = 2, 2
	again := wire.Header{Kind: wire.KindAcquireAll, Flags: wire.FlagWait, Request: waits}
	b.acquireAllAs(again, names)
	w.run(50 * Millisecond)
	if info := a.get(names[0]); info.WaiterCount != 1 {
		t.Fatalf("first name: got %+v, want one waiter", info)
	}
	if x := a.unlock(names[1], held.Token); x.Status != wire.StatusOK {
		t.Fatalf("release: got %v, want ok", x.Status)
	}
	got := b.want(waits, wire.StatusOK)
	b.conn, b.epoch = 3, 3
	b.acquireAllAs(again, names)
	if again := b.want(waits, wire.StatusOK); again.Token != got.Token {
		t.Errorf("again: got token %d, want %d", again.Token, got.Token)
	}
}

// acquireTermed asks for names with terms, in exclusive mode.
func (u *user) acquireTermed(names [][]byte, flags wire.Flags, t wire.Terms) uint64 {
	h := u.header(wire.KindAcquireAll)
	h.Flags = flags
	x := wire.AcquireAll{Session: u.session, Epoch: u.epoch, Terms: t}
	for _, name := range names {
		x.Wants = x.Wants.Append(wire.Want{Mode: wire.ModeEX, Name: name})
	}
	u.send(wire.AppendAcquireAll(nil, h, &x))
	return h.Request
}

// What several names are asked for with is that of each: others read it, and a max hold
// ends them all at one moment, of which the holder is told name by name.
func TestTermsOfSeveralNames(t *testing.T) {
	w := raisedWorld(t, testOptions())
	names := w.namesIn(3)
	a, b := w.lasting(1, 0, 60_000), w.lasting(2, 0, 60_000)
	terms := wire.Terms{Fields: wire.TermPayload | wire.TermLabels | wire.TermMaxHold,
		Payload: []byte("job 7"), Labels: []byte{1, 1, 'k', 1, 'v'}, MaxHoldMillis: 2500}
	first := a.acquireTermed(names, 0, terms)
	token := a.want(first, wire.StatusOK).Token
	for i, name := range names {
		info := b.why(wire.Why{Name: name, Mode: wire.ModeEX}).Info
		if d := info.Holders[0].Data; string(d.Payload) != "job 7" || len(d.Labels) != 5 {
			t.Errorf("name %d: got data %+v, want what was asked for", i, d)
		}
		if x := a.left(name, token+uint64(i)); x.LeftMillis == 0 || x.LeftMillis > 2500 {
			t.Errorf("name %d: got %d ms left, want at most 2500", i, x.LeftMillis)
		}
	}
	waits := b.acquireTermed(names[1:], wire.FlagWait, wire.Terms{})
	w.run(4 * Second)
	b.want(waits, wire.StatusOK)
	lost := a.losses()
	if len(lost) != len(names) {
		t.Fatalf("got %d losses told, want one for each name", len(lost))
	}
	for i := range lost {
		if x := &lost[i]; !bytes.Equal(x.Name, names[i]) || x.Token != token+uint64(i) ||
			x.Reason != wire.ReasonMaxHold {
			t.Errorf("loss %d: got %q token %d, %v, want its own by max hold", i, x.Name, x.Token, x.Reason)
		}
	}
	terms = wire.Terms{Fields: wire.TermMaxHold, MaxHoldMillis: 1}
	b.want(b.acquireTermed(names, 0, terms), wire.StatusBadRequest)
}

// Who waits for several names is told of the one at which it is stopped, and of another
// when that has become it, although the change was at the first.
func TestWaiterForSeveralIsToldWhere(t *testing.T) {
	w := raisedWorld(t, testOptions())
	names := w.namesIn(3)
	a, b := w.lasting(1, 0, 60_000), w.lasting(2, 0, 60_000)
	second, third := a.lock(names[1]), a.lock(names[2])
	waits := b.acquireAll(names, wire.FlagWait)
	watch := b.watch(wire.Watch{Scope: wire.ScopeWaiter, Name: names[0], Session: b.session,
		Target: waits})
	told := func(of []byte, token uint64) {
		t.Helper()
		w.run(2 * queueEvery)
		_, _, places := b.pushes(watch)
		if len(places) == 0 {
			t.Fatal("nothing was told")
		}
		x := places[len(places)-1]
		if !bytes.Equal(x.Info.Name, of) || x.Position != 1 || len(x.Info.Holders) != 1 ||
			x.Info.Holders[0].Token != token {
			t.Errorf("got place %d at %q behind %+v, want the first at %q behind %d", x.Position,
				x.Info.Name, x.Info.Holders, of, token)
		}
	}
	told(names[1], second.Token)
	a.unlock(names[1], second.Token)
	told(names[2], third.Token)
	n := w.leaderOf(0).node
	if n.watching != len(names) {
		t.Errorf("got %d watches, want one for each name", n.watching)
	}
	a.unlock(names[2], third.Token)
	b.want(waits, wire.StatusOK)
	b.send(wire.AppendUnwatch(nil, b.header(wire.KindUnwatch), &wire.Unwatch{Target: watch}))
	w.run(50 * Millisecond)
	if n.watching != 0 || n.group(0).watches != nil {
		t.Errorf("got %d watches after the last ended, want none", n.watching)
	}
}

// A request for several names of which there is no room to watch all is told of its
// first name only.
func TestWaiterForSeveralWithoutRoom(t *testing.T) {
	w := raisedWorld(t, testOptions())
	names := w.namesIn(3)
	a, b := w.lasting(1, 0, 60_000), w.lasting(2, 0, 60_000)
	n := w.leaderOf(0).node
	a.lock(names[1])
	waits := b.acquireAll(names, wire.FlagWait)
	w.run(20 * Millisecond)
	n.watching = maxWatches - len(names)
	watch := b.watch(wire.Watch{Scope: wire.ScopeWaiter, Name: names[0], Session: b.session,
		Target: waits})
	w.run(2 * queueEvery)
	_, _, places := b.pushes(watch)
	if len(places) != 1 || !bytes.Equal(places[0].Info.Name, names[0]) {
		t.Errorf("got %+v, want the place at the first name", places)
	}
	if got, want := n.watching, maxWatches-len(names)+1; got != want {
		t.Errorf("got %d watches, want %d", got, want)
	}
}
