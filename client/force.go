package client

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"lockd/netio/wire"
)

// MaxReason bounds the reason of a ForceRelease in bytes.
const MaxReason = 256

// ForceRelease ends the hold of a lock that has a token, whoever has it: with all
// that its owner entered, be it detached, or over and kept. Who waits next has the
// lock in the same moment; a min hold or lock delay of the forced hold does not
// count. The reason, 1 to MaxReason bytes of UTF-8, is for the log of the node that
// does it, with this client's name and the holder's.
//
// The holder is told (ErrForced), but not before another has the lock, and what it has
// under way goes on until it is: only what checks tokens is safe from that. A holder
// that is cut off hears when it has a conn again. The owner of a detached hold hears
// when it renews.
//
// The token is that of the hold as it is now, as Get tells it: one that was converted
// since has another. If no present hold has it, nothing happened and the error is a
// *StaleTokenError that names the present token. A gate has nobody to be forced: the
// error is a *KindError; reset it instead.
//
// Tokens are not given out again, so the request takes effect once. If the first
// answer was lost, nil means that the hold is over, by this call or by itself
// meanwhile. When the call ends with ErrUnavailable or the error of ctx, the hold may
// be over or not; ask again.
func (c *Client) ForceRelease(ctx context.Context, name string, token uint64, reason string) error {
	switch {
	case len(reason) == 0 || len(reason) > MaxReason || !utf8.ValidString(reason):
		return fmt.Errorf("%w: force %q: a reason of %d bytes, must be 1 to %d of UTF-8", ErrOptions,
			name, len(reason), MaxReason)
	case token == 0:
		return fmt.Errorf("%w: force %q: no token", ErrOptions, name)
	case ctx.Err() != nil:
		return fmt.Errorf("client: force %q: %w", name, ended(ctx))
	}
	return c.call(ctx, &Call{Kind: wire.KindForce, Name: name, Token: token, Reason: reason,
		Timeout: c.opts.RequestTimeout})
}

// StaleTokenError says that no present hold has a token. It matches ErrStaleToken.
type StaleTokenError struct {
	Name  string
	Token uint64
	// Present is the largest token of a present hold, zero if nobody holds the lock.
	Present uint64
}

// Is reports whether target is ErrStaleToken.
func (e *StaleTokenError) Is(target error) bool { return target == ErrStaleToken }

// Error says it in one line.
func (e *StaleTokenError) Error() string {
	if e.Present == 0 {
		return fmt.Sprintf("lock %q: nobody holds it, with token %d or any other", e.Name, e.Token)
	}
	return fmt.Sprintf("lock %q: no hold has token %d any more; the present token is %d", e.Name,
		e.Token, e.Present)
}

// appendForce writes a Force.
func (c *Core) appendForce(dst []byte, h wire.Header, x *Call, name []byte) []byte {
	h.Flags = 0
	return wire.AppendForce(dst, h, &wire.Force{Token: x.Token, Client: []byte(c.cfg.Name),
		Reason: []byte(x.Reason), Name: name})
}

// onForced takes the answer to a Force. If an earlier send may have had its effect,
// that nobody has the token is what it was to bring about.
func (c *Core) onForced(x *Call, r *wire.Response) {
	switch {
	case r.Status == wire.StatusNotHolder && x.unsure:
		r.Status = wire.StatusOK
	case r.Status == wire.StatusNotHolder:
		c.end(x, &StaleTokenError{Name: x.Name, Token: x.Token, Present: r.Token})
		return
	case r.Status == wire.StatusOtherKind:
		c.end(x, otherKind(x, x.Name, r.Token))
		return
	}
	c.finish(x, r)
}

// onLost takes the push that one hold is over, with all that entered it.
func (c *Core) onLost(h wire.Header, body []byte) error {
	m, err := wire.DecodeLost(body)
	if err != nil {
		return err
	}
	for x := c.groups[h.Group].calls.head; x != nil; x = x.next {
		if x.left != nil && x.Session == m.Session && x.has(m.Token) {
			x.lost = lostCause(m.Reason) // it is not handed out yet: onLeft tells
		}
	}
	l := &c.groups[h.Group].session.holds
	if m.Session&wire.DetachedOwner != 0 {
		l = &c.detached
	}
	for x := l.head; x != nil; {
		next := x.next
		if x.Session == m.Session && x.has(m.Token) {
			c.loseToken(x, m.Token, lostCause(m.Reason))
		}
		x = next
	}
	return nil
}

// lostCause is the error for why a hold was lost.
func lostCause(r wire.Reason) error {
	switch r {
	case wire.ReasonForced:
		return ErrForced
	case wire.ReasonMaxHold:
		return ErrMaxHold
	default:
		return fmt.Errorf("client: %s", r)
	}
}

// has reports whether a hold has a token; one of several names has one for each.
func (x *Call) has(token uint64) bool {
	return token-x.Token < uint64(max(1, x.Wants.Len()))
}

// loseToken ends a hold of which one token is lost. What is left of several names
// is of no use to anybody: it is given back. By a max hold all of them end.
func (c *Core) loseToken(x *Call, token uint64, cause error) {
	name := x.Name
	if x.Wants != nil {
		x.Wants.Each(func(i int, w wire.Want) bool {
			name = string(w.Name)
			return uint64(i) < token-x.Token
		})
		if x.Wants.Len() > 1 && !errors.Is(cause, ErrMaxHold) {
			c.startBackground(x.back(x.Token))
		}
	}
	c.loseAs(x, &LostError{Name: name, Token: token, Cause: cause})
}

// unknown is why a hold was lost that a leader does not know although the session
// lives: nothing else ends one unasked.
func (x *Call) unknown() error {
	if x.detached() {
		return errNoSuchHold
	}
	return fmt.Errorf("%w: group %d does not know it any more", ErrForced, x.Group)
}

// recheck is what a group is being asked about holds that may have been lost while
// no conn was there to tell of it, or before they were taken over.
type recheck struct {
	call *Call // open, or nil
	left []recheckedHold
	// unsure says that a hold was passed over because it was being converted, due that
	// a conversion has ended since: then all is asked again.
	unsure, due bool
}

// recheckedHold is one token to be asked about. The Call may be another hold by the
// time of the answer: the token tells.
type recheckedHold struct {
	call  *Call
	token uint64
	name  string
}

// startRecheck asks whether what the session of a group holds still stands. Requires:
// the group is attached.
func (c *Core) startRecheck(g *group) {
	c.endRecheck(g)
	if plantedIs("forced-while-away-unseen") || g.session.state != sessionOpen ||
		c.endpoints[g.via].version < wire.VersionWhole {
		return
	}
	for x := g.session.holds.head; x != nil; x = x.next {
		if x.Wants == nil {
			g.recheck.left = append(g.recheck.left, recheckedHold{x, x.Token, x.Name})
			continue
		}
		x.Wants.Each(func(i int, w wire.Want) bool {
			g.recheck.left = append(g.recheck.left,
				recheckedHold{x, x.Token + uint64(i), string(w.Name)})
			return true
		})
	}
	c.askRecheck(g)
}

// doubtSeveral has the next Tick ask about a grant of several names that was made a while
// ago, as far as is known: one name may have been forced since. The answer to the request
// says nothing of that, as long as another is left.
func (c *Core) doubtSeveral(g *group, x *Call) {
	if x.Wants != nil {
		g.recheck.due = true
		c.schedule(0)
	}
}

// RecheckGroup asks a group whether what its session holds still stands, unless it has no
// conn: then that is asked as soon as it has one. Holds that are taken over need it.
func (c *Core) RecheckGroup(group uint16) {
	if g := &c.groups[group]; g.live {
		c.startRecheck(g)
	}
}

// recheckOnceHeard has the next Tick ask again once a session has been renewed on the conn
// that its group has come to: the leader tells of a force from then on, and one after the
// answer to the first question and before that would be heard of by nobody.
func (c *Core) recheckOnceHeard(g *group) {
	if !g.heard && g.session.holds.head != nil {
		g.recheck.due = true
		c.schedule(0)
	}
	g.heard = true
}

// askRecheck asks about the next tokens, as many as one question takes.
func (c *Core) askRecheck(g *group) {
	g.recheck.call = nil
	if len(g.recheck.left) == 0 {
		g.recheck.left = nil
		return
	}
	x := &Call{Kind: wire.KindCheckTokens, Group: g.number}
	room := int(c.limits.FrameBytes) - wire.HeaderBytes - 2
	for _, h := range g.recheck.left[:min(len(g.recheck.left), wire.MaxChecks)] {
		if room -= 10 + len(h.name); room < 0 {
			break
		}
		x.Checks = append(x.Checks, NameToken{h.name, h.token})
	}
	g.recheck.call = x
	c.startBackground(x)
}

// endRecheck forgets what a group was asked.
func (c *Core) endRecheck(g *group) {
	if x := g.recheck.call; x != nil && x.state == StateOpen {
		c.end(x, nil)
	}
	g.recheck = recheck{}
}

// onRechecked takes the answer: what does not stand any more is lost. What may have
// got another token meanwhile is asked about again when its Convert, or the Cancel of
// that, has ended: the one may have been of another entry of the owner, and the other
// does not tell.
func (c *Core) onRechecked(g *group, x *Call, r *wire.Response) error {
	c.end(x, nil)
	if g.recheck.call != x || r.Status != wire.StatusOK {
		return nil
	}
	got, err := wire.DecodeTokenStates(r.Payload)
	if err != nil || len(got.States) == 0 || len(got.States) > len(x.Checks) {
		return fmt.Errorf("%w: %d answers about %d tokens: %v", ErrProtocol, len(got.States),
			len(x.Checks), err)
	}
	for i, s := range got.States {
		h := &g.recheck.left[i]
		holds := h.call.state == StateHeld && h.call.list == &g.session.holds && h.call.has(h.token)
		switch {
		case s.Standing != wire.TokenStale || !holds:
		case c.turning(h.call):
			g.recheck.unsure = true
		default:
			c.loseToken(h.call, h.token, ErrForced)
		}
	}
	g.recheck.left = g.recheck.left[len(got.States):]
	c.askRecheck(g)
	return nil
}

// Rechecking reports whether a group is still being asked whether what its session
// holds stands, after it came to another conn.
func (c *Core) Rechecking(group uint16) bool { return c.groups[group].recheck.call != nil }

// ofTurn reports whether a Call is a Convert, or the Cancel of one.
func (x *Call) ofTurn() bool {
	return x.Kind == wire.KindConvert || x.Kind == wire.KindCancel && x.Hold != nil
}

// turned has the next Tick ask again what was passed over for a Call that has ended.
func (c *Core) turned(x *Call) {
	if x.ofTurn() && c.groups[x.Group].recheck.unsure {
		c.groups[x.Group].recheck.due = true
		c.schedule(0)
	}
}

// turning reports whether a Convert of a hold, or the Cancel of one, is open.
func (c *Core) turning(h *Call) bool {
	for x := c.groups[h.Group].calls.head; x != nil; x = x.next {
		if x.ofTurn() && (x.Hold == h || h.Owner != 0 && x.Owner == h.Owner && x.Name == h.Name) {
			return true
		}
	}
	return false
}
