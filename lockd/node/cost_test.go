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
	g := w.leaderOf(0).node.group(0)
	a, b := w.lasting(1, 0, 60_000), w.lasting(2, 0, 60_000)
	name, gate := w.nameIn(0, 0), w.nameIn(0, 1)
	several := w.namesIn(8)
	var token, second uint64
	for _, c := range []struct {
		what    string
		commits uint64
		run     func()
	}{
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
	} {
		for o.LogTick-w.now%o.LogTick < 50*Millisecond {
			w.run(Millisecond)
		}
		before := g.replica.Chosen()
		c.run()
		w.run(5 * Millisecond)
		if got := uint64(g.replica.Chosen() - before); got != c.commits {
			t.Errorf("%s: got %d commits, want %d", c.what, got, c.commits)
		}
	}
}
