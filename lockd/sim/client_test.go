package sim

import (
	"slices"
	"testing"

	"lockd/lockd/sim/check"
	"lockd/netio/wire"
)

// A request that waits after it was refused as busy follows its group to another
// node. What cancels it may be sent there before that wait is over, and is not
// overtaken: the request would be granted to somebody who was told that it is not.
func TestCancelIsNotFollowedByItsTarget(t *testing.T) {
	for _, test := range []struct {
		name string
		wait Time // of the request, once it is asked to cancel it
		want []wire.Kind
	}{
		{"wait is over", 0, []wire.Kind{wire.KindAcquire, wire.KindCancel}},
		{"wait is not over", 50 * millisecond, []wire.Kind{wire.KindCancel}},
	} {
		w := New(short(1), nil)
		c := w.clients[0]
		m := c.groups[0]
		m.session = 1
		m.ask(&call{q: check.Question{Kind: wire.KindAcquire, Name: w.names[0][0]},
			flags: wire.FlagWait, mode: wire.ModeEX, began: 1, busyIn: m.epoch, retryAt: test.wait})
		m.reroute(1)
		m.retryAt = 0
		conn := &conn{w: w, caller: c, owed: make(map[uint64]int), clientOpen: true}
		c.conns[m.route] = conn
		var got []wire.Kind
		pump := func() {
			sent := len(conn.toNode.chunks)
			m.pump()
			for _, frame := range conn.toNode.chunks[sent:] {
				h, _, err := wire.Parse(frame)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, h.Kind)
			}
		}
		c.cancel(m)
		pump()
		w.agenda.After(2*test.wait, pump)
		for w.agenda.Next(second) {
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v sent, want %v", test.name, got, test.want)
		}
	}
}
