package node

import (
	"testing"

	"lockd/lockfsm"
	"lockd/netio/wire"
)

// force asks for the end of the hold with a token and returns the request id.
func (u *user) force(name []byte, token uint64) uint64 {
	h := u.header(wire.KindForce)
	u.send(wire.AppendForce(nil, h, &wire.Force{Token: token, Client: []byte("ops"),
		Reason: []byte("stuck"), Name: name}))
	return h.Request
}

// forced are the lines that the nodes would write of what was ended by force.
func (w *world) forced() (all []Forced) {
	for _, p := range w.opts.Nodes {
		for _, e := range w.nodes[p.ID].events {
			if e.Kind == EventForced {
				all = append(all, *e.Forced)
			}
		}
	}
	return all
}

// Whoever names the token of a hold ends it: the next has the lock, the holder is
// told, its release finds nothing, and there is one line that says who and why. With
// another token nothing happens, and the answer says which is the present one.
func TestForce(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b, ops := w.user(1, 0), w.user(2, 0), w.user(3, 0)
	held := a.lock(name)
	waits := b.acquire(name, wire.FlagWait)
	watch := ops.watch(wire.Watch{Name: name})
	w.run(20 * Millisecond)
	if x := ops.want(ops.force(name, held.Token+100), wire.StatusNotHolder); x.Token != held.Token {
		t.Errorf("stale: got token %d, want the present one, %d", x.Token, held.Token)
	}
	if got := a.losses(); len(got) != 0 {
		t.Errorf("nothing was forced: got %+v", got)
	}
	ops.want(ops.force(name, held.Token), wire.StatusOK)
	next := b.want(waits, wire.StatusOK)
	got := a.losses()
	if len(got) != 1 || got[0].Token != held.Token || got[0].Session != a.session ||
		got[0].Reason != wire.ReasonForced || string(got[0].Name) != string(name) {
		t.Errorf("told: got %+v, want token %d of session %d", got, held.Token, a.session)
	}
	if x := ops.want(ops.force(name, held.Token), wire.StatusNotHolder); x.Token != next.Token {
		t.Errorf("again: got token %d, want %d", x.Token, next.Token)
	}
	h := a.header(wire.KindRelease)
	a.send(wire.AppendRelease(nil, h, &wire.Release{Session: a.session, Token: held.Token,
		Epoch: a.epoch, Name: name}))
	a.want(h.Request, wire.StatusNotHolder)
	lines := w.forced()
	if len(lines) != 1 || lines[0].Token != held.Token || lines[0].Holder != a.session ||
		lines[0].Client != "tester" || lines[0].Who != "ops" || lines[0].Reason != "stuck" ||
		lines[0].Name != string(name) {
		t.Errorf("lines: got %+v, want one", lines)
	}
	ops.want(ops.force(name, next.Token), wire.StatusOK)
	if x := ops.last(watch); x.Change != wire.ChangeForced || x.Holders != 0 {
		t.Errorf("watch: got %+v, want it forced", x)
	}
	if n := w.leaderOf(0).node.Stats().Forced; n != 2 {
		t.Errorf("counted: got %d, want 2", n)
	}
	w.converged()
}

// A hold that waits to be converted ends with what it waits for, and the holder
// hears of the first before the second.
func TestForceWhileConverting(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, b, ops := w.user(1, 0), w.user(2, 0), w.user(3, 0)
	one, two := a.lockIn(name, wire.ModePR), b.lockIn(name, wire.ModePR)
	waits := a.convert(one, wire.ModeEX, wire.FlagWait)
	w.run(20 * Millisecond)
	ops.want(ops.force(name, one.token), wire.StatusOK)
	a.want(waits, wire.StatusNotHolder)
	if got := a.losses(); len(got) != 1 || got[0].Token != one.token {
		t.Errorf("told: got %+v, want token %d", got, one.token)
	}
	if x := b.want(b.convert(two, wire.ModeEX, wire.FlagWait), wire.StatusOK); x.Token <= two.token {
		t.Errorf("the other: got token %d, want one above %d", x.Token, two.token)
	}
	w.converged()
}

// Who opens a session again on another conn is told there, though the first has not
// ended for the node.
func TestForceIsToldToWhoOpensTheSessionAgain(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, ops := w.user(1, 0), w.user(3, 0)
	held := a.lock(name)
	h := a.header(wire.KindOpenSession)
	x := w.call(7, h, wire.AppendOpenSession(nil, h, &wire.OpenSession{Nonce: wire.Nonce{1, 0},
		Epoch: 9, LeaseMillis: 2000, Name: []byte("tester")}))
	if x.Token != a.session {
		t.Fatalf("opened again: got %v, session %d, want %d", x.Status, x.Token, a.session)
	}
	ops.want(ops.force(name, held.Token), wire.StatusOK)
	again := *a
	again.conn = 7
	if got := again.losses(); len(got) != 1 || got[0].Token != held.Token {
		t.Errorf("told on the newer conn: got %+v, want token %d", got, held.Token)
	}
}

// A holder whose conn has not ended for the node, but was left by its client, is told
// on the one on which it renews; an older conn does not take it back.
func TestForceIsToldOnTheNewestConn(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a, ops := w.user(1, 0), w.user(3, 0)
	held := a.lock(name)
	again := *a
	again.conn = 7
	again.keepalive()
	w.run(300 * Millisecond)
	a.keepalive()
	w.run(300 * Millisecond)
	ops.want(ops.force(name, held.Token), wire.StatusOK)
	if got := again.losses(); len(got) != 1 || got[0].Token != held.Token {
		t.Errorf("newer conn: got %+v, want token %d", got, held.Token)
	}
	if got := a.losses(); len(got) != 0 {
		t.Errorf("older conn: got %+v, want nothing", got)
	}
	w.converged()
}

// A gate is refused, and so is a request without a reason.
func TestForceRefused(t *testing.T) {
	w := raisedWorld(t, testOptions())
	name := w.nameIn(0, 0)
	a := w.user(1, 0)
	h := a.header(wire.KindSetGate)
	a.send(wire.AppendGate(nil, wire.KindSetGate, h, &wire.Gate{Session: a.session, Done: h.Request,
		Epoch: a.epoch, Count: 3, Kind: wire.GateLatch, Name: name}))
	stands := a.want(h.Request, wire.StatusOK)
	x := a.want(a.force(name, stands.Token), wire.StatusOtherKind)
	if k := wire.OtherKindOf(x.Token); k.Gate != wire.GateLatch || k.Number != 3 {
		t.Errorf("gate: got %+v, want a latch of 3", k)
	}
	h = a.header(wire.KindForce)
	a.send(wire.AppendForce(nil, h, &wire.Force{Token: 1, Name: name}))
	a.want(h.Request, wire.StatusBadRequest)
	h = a.header(wire.KindForce)
	a.send(wire.AppendForce(nil, h, &wire.Force{Token: 1, Reason: []byte("\xff"), Name: name}))
	a.want(h.Request, wire.StatusBadRequest)
}

// While a node of the cluster may not know it, nobody is forced.
func TestFP3ForceNeedsAllNodes(t *testing.T) {
	o := testOptions()
	o.Format = lockfsm.FormatKinds
	w := newWorld(t, o)
	name := w.nameIn(0, 0)
	a := w.user(1, 0)
	held := a.lock(name)
	a.want(a.force(name, held.Token), wire.StatusUnsupported)
	a.unlock(name, held.Token)
}

// A retry of several names of which one was forced is told of the grant: the others
// are still held. Who retries has to ask what of it stands.
func TestForceBeforeARetryOfSeveral(t *testing.T) {
	w := raisedWorld(t, testOptions())
	names := w.namesIn(3)
	a, b := w.lasting(1, 0, 60_000), w.lasting(2, 0, 60_000)
	request := a.acquireAll(names, 0)
	token := a.want(request, wire.StatusOK).Token
	b.want(b.force(names[1], token+1), wire.StatusOK)
	b.lock(names[1])
	a.conn, a.epoch = 3, 2
	a.acquireAllAs(wire.Header{Kind: wire.KindAcquireAll, Request: request}, names)
	if again := a.want(request, wire.StatusOK); again.Token != token {
		t.Errorf("again: got token %d, want %d", again.Token, token)
	}
	var refs []wire.TokenRef
	for i, name := range names {
		refs = append(refs, wire.TokenRef{Token: token + uint64(i), Name: name})
	}
	x := a.check(refs...)
	got, err := wire.DecodeTokenStates(x.Payload)
	if err != nil || len(got.States) != 3 {
		t.Fatalf("check: got %+v, %v", got, err)
	}
	for i, want := range []wire.Standing{wire.TokenCurrent, wire.TokenStale, wire.TokenCurrent} {
		if got.States[i].Standing != want {
			t.Errorf("name %d: got standing %v, want %v", i, got.States[i].Standing, want)
		}
	}
}
