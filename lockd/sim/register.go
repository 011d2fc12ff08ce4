package sim

import (
	"fmt"

	"lockd/lockd/sim/check"
	"lockd/lockfsm"
)

// register is what one exclusive lock guards, outside the cluster: it keeps the
// largest token it has seen and refuses a write that names a smaller one. Nobody
// tells it about leases, sessions or clocks. Whoever held the lock may write
// whenever a paused process or a slow network brings the write along.
type register struct {
	token  lockfsm.Token
	writer string
}

// lockName names a lock of the cluster.
type lockName struct {
	group uint16
	name  string
}

// write plans a write of a client that was granted a lock exclusively: at once,
// or long after the lease it relied on has run out.
func (w *World) write(d dice, writer string, at lockName, token lockfsm.Token) {
	delay := w.opts.Latency/4 + d.around(w.opts.Latency)
	if d.permille(200) {
		delay += d.length(0, 3*Time(w.opts.Lease)*millisecond)
	}
	w.agenda.After(delay, func() { w.written(writer, at, token) })
}

// written takes a write to a register. The token must be one that the log
// granted exclusively (I15), and no two clients may come with the same.
func (w *World) written(writer string, at lockName, token lockfsm.Token) {
	r := w.registers[at]
	if r == nil {
		r = &register{}
		w.registers[at] = r
	}
	w.note("write", uint64(at.group), uint64(token))
	mode, granted := w.granted[grantName{at.group, token}]
	switch {
	case !granted || mode.name != at.name || mode.mode != lockfsm.ModeEX:
		w.failf("I15: %s writes to %q with token %d, which the log of group %d never granted",
			writer, at.name, token, at.group)
	case token < r.token:
		w.covered["stale write refused"]++
	case token == r.token && r.writer != writer:
		w.failf("G4: %s and %s write to %q with the same token %d", r.writer, writer, at.name, token)
	default:
		w.covered["write taken"]++
		r.token, r.writer = token, writer
	}
}

// grantName names a grant of the cluster, grantOf says what it was of.
type grantName struct {
	group uint16
	token lockfsm.Token
}

type grantOf struct {
	name string
	mode lockfsm.Mode
}

// noteGrant remembers what the log granted. Tokens of a group are never given
// twice (I15).
func (w *World) noteGrant(group uint16, g *check.Grant) {
	if g.Again {
		return
	}
	key := grantName{group, g.Token}
	if old, ok := w.granted[key]; ok {
		w.check(fmt.Errorf("I15: group %d grants token %d of %q again, for %q", group, g.Token,
			old.name, g.Name))
	}
	w.granted[key] = grantOf{g.Name, g.Mode}
}
