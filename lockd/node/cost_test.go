package node

import (
	"testing"

	"lockd/netio/wire"
)

// What each operation costs in commits: slots of its group's log, each of which is
// synced by a majority before anybody hears of it. `lockd/doc/performance.md` has
// the table. Steps of log time
// fall between the operations here.
func TestCommitsPerOperation(t *testing.T) {
	o := testOptions()
	o.LogTick = 500 * Millisecond
	w := raisedWorld(t, o)
	a, b := w.lasting(1, 0, 60_000), w.lasting(2, 0, 60_000)
	name, gate := w.nameIn(0, 0), w.nameIn(0, 1)
	several := w.namesIn(8)
	var token, second uint64
	w.wantCosts([]cost{
		{"lock what is free", 1, func() { token = a.lock(name).Token }},
		{"try what is held", 0, func() { b.want(b.acquire(name, 0), wire.StatusHeld) }},
		{"get", 0, func() { b.get(name) }},
		{"ask whether a token is current", 0, func() {
			b.check(wire.TokenRef{Token: token, Name: name})
		}},
		{"queue", 1, func() {
			second = b.acquire(name, wire.FlagWait)
			w.run(5 * Millisecond)
		}},
		{"unlock and hand over", 1, func() { a.unlock(name, token) }},
		{"be granted after a wait", 0, func() { token = b.wait(second, Second).Token }},
		{"unlock", 1, func() { b.unlock(name, token) }},
		{"take permits and give them back", 2, func() {
			b.unlock(name, b.want(b.take(name, 3, 0), wire.StatusOK).Token)
		}},
		{"lock eight names of a group", 1, func() {
			second = a.acquireAll(several, wire.FlagWait)
			token = a.want(second, wire.StatusOK).Token
		}},
		{"unlock eight names of a group", 1, func() { a.releaseAll(second, token) }},
		{"wait at a latch that is open", 1, func() {
			b.want(b.gate(wire.KindAwait, wire.Gate{Kind: wire.GateLatch, Name: gate}), wire.StatusOK)
		}},
	})
	w.wantCosts(costsOfOthers(w, a, b))
}

// costsOfOthers are operations on holds, on owners and at a gate.
func costsOfOthers(w *world, a, b *user) []cost {
	name, job := w.nameIn(0, 0), w.nameIn(0, 2)
	latch := wire.Gate{Kind: wire.GateLatch, Name: w.nameIn(0, 1), Count: 1}
	var x held
	var first, again, owned uint64
	return []cost{
		{"read", 1, func() { x = a.lockIn(name, wire.ModePR) }},
		{"become the writer", 1, func() {
			x.token = a.want(a.convert(x, wire.ModeEX, 0), wire.StatusOK).Token
		}},
		{"write a value", 1, func() {
			h := a.header(wire.KindAmend)
			a.write(h, x, "value")
			a.want(h.Request, wire.StatusOK)
		}},
		{"become a reader", 1, func() { a.want(a.convert(x, wire.ModePR, 0), wire.StatusOK) }},
		{"why", 0, func() { b.why(wire.Why{Name: name, Mode: wire.ModeEX}) }},
		{"watch", 0, func() { b.watch(wire.Watch{Name: name}) }},
		{"renew a session", 0, func() { a.keepalive() }},
		{"force", 1, func() { b.want(b.force(name, x.token), wire.StatusOK) }},
		{"enter", 1, func() {
			first = a.enter(job, 7, 0)
			owned = a.want(first, wire.StatusOK).Token
		}},
		{"enter again", 1, func() {
			again = a.enter(job, 7, 0)
			a.want(again, wire.StatusOK)
		}},
		{"leave a level", 1, func() { a.leave(job, again, owned) }},
		{"leave the last", 1, func() { a.leave(job, first, owned) }},
		{"set a latch", 1, func() { a.want(a.gate(wire.KindSetGate, latch), wire.StatusOK) }},
		{"count it down to zero", 1, func() {
			a.want(a.gate(wire.KindCountDown, latch), wire.StatusOK)
		}},
	}
}

// cost is what an operation costs.
type cost struct {
	what    string
	commits uint64
	run     func()
}

// wantCosts carries operations on group 0 out, each between two steps of log time.
func (w *world) wantCosts(all []cost) {
	w.t.Helper()
	g, tick := w.leaderOf(0).node.group(0), w.opts.LogTick
	for _, c := range all {
		for tick-w.now%tick < 50*Millisecond {
			w.run(Millisecond)
		}
		before := g.replica.Chosen()
		c.run()
		w.run(5 * Millisecond)
		if got := uint64(g.replica.Chosen() - before); got != c.commits {
			w.t.Errorf("%s: got %d commits, want %d", c.what, got, c.commits)
		}
	}
}
