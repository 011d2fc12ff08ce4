package client

import (
	"fmt"
	"slices"
	"time"

	"lockd/netio/wire"
)

// restarts reports whether a call whose session has ended asks anew in the next: it
// waits for what comes of itself, or has not been sent. What may have had its
// effect must not have it twice.
func (x *Call) restarts() bool {
	return x.sends == 0 || x.Kind == wire.KindAwait && x.Gate != wire.GateBarrier
}

// endGateCall ends a call at a gate with its session, or has it ask anew.
func (c *Core) endGateCall(g *group, x *Call, cause error) {
	switch {
	case x.background:
		c.end(x, nil)
	case x.restarts():
		c.unnumber(x)
		x.sentEpoch, x.sends, x.Session = 0, 0, 0
	default:
		c.end(x, fmt.Errorf("%s %q: it may have had its effect: %w", x.Gate, x.Name, cause))
	}
}

// abandonGate lets a call at a gate go on without its caller, or, if it waits,
// gives it up.
func (c *Core) abandonGate(x *Call) {
	switch {
	case x.sends == 0:
	case x.Kind != wire.KindAwait:
		c.outlive(x)
	default:
		c.startBackground(&Call{Kind: wire.KindCancel, Name: x.Name, Session: x.Session,
			Group: x.Group, target: x.request, Gate: x.Gate})
	}
}

// appendGate writes a call at a gate.
func (x *Call) appendGate(dst []byte, h wire.Header, g *group, name []byte) []byte {
	return wire.AppendGate(dst, x.Kind, h, &wire.Gate{
		Session: x.Session, Done: g.atGate[0], Epoch: g.epoch, Count: x.Count,
		TTLMillis: uint32(x.TTL / time.Millisecond), Kind: x.Gate, Name: name,
	})
}

// onGate takes the outcome of a call at a gate.
func (c *Core) onGate(x *Call, r *wire.Response) {
	switch r.Status {
	case wire.StatusHeld: // it was not to wait
		c.end(x, &HeldError{Name: x.Name, Token: r.Token})
	case wire.StatusOtherKind:
		c.end(x, otherKind(x, x.Name, r.Token))
	case wire.StatusAlreadySet:
		c.end(x, &AlreadySetError{Name: x.Name, Count: r.Token})
	case wire.StatusBroken:
		c.end(x, fmt.Errorf("%w: %s %q", ErrBroken, x.Gate, x.Name))
	default:
		c.finish(x, r)
	}
}

// number gives a call its request id.
func (c *Core) number(x *Call) {
	c.calls.put(x)
	if x.Kind.AtGate() {
		g := &c.groups[x.Group]
		g.atGate = append(g.atGate, x.request)
	}
}

// unnumber takes the request id from a call.
func (c *Core) unnumber(x *Call) {
	if x.Kind.AtGate() && x.request != 0 {
		g := &c.groups[x.Group]
		if at, ok := slices.BinarySearch(g.atGate, x.request); ok {
			g.atGate = slices.Delete(g.atGate, at, at+1)
		}
	}
	c.calls.drop(x)
}

// otherKind says what a name is in use as that x wanted to be something else.
func otherKind(x *Call, name string, token uint64) *KindError {
	k := wire.OtherKindOf(token)
	return &KindError{Name: name, Gate: GateKind(k.Gate), Capacity: uint64(k.Number),
		Wanted: x.wanted()}
}
