package client

import (
	"errors"
	"fmt"
)

// unavailable says for what no answer came, and whom it was last asked of.
func (c *Core) unavailable(x *Call) error {
	about := fmt.Sprintf("%s %q after %s", x.Kind, x.Name, x.Timeout)
	if x.direct() {
		return fmt.Errorf("%w: %s of node %d", ErrUnavailable, about, x.Node)
	}
	g := &c.groups[x.Group]
	if g.live {
		e := c.endpoints[g.via]
		return fmt.Errorf("%w: %s: group %d: node %d at %s has not answered",
			ErrUnavailable, about, x.Group, e.node, e.address)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, about, c.leaderless(g))
}

// gaveUp is the error of a call whose caller waits no more, because of ended. It says
// besides if nobody could have answered, and why. What has gone wrong at each address is
// told, and matches nothing: the call has ended by its caller.
func (c *Core) gaveUp(now Instant, x *Call, ended error) error {
	err := fmt.Errorf("client: gave up %s %q: %w", x.Kind, x.Name, ended)
	if x.state != StateOpen || x.direct() {
		return err
	}
	g := &c.groups[x.Group]
	if !g.live {
		return fmt.Errorf("%w: %w: %v", err, ErrUnavailable, c.leaderless(g))
	}
	if e := c.endpoints[g.via]; c.isSilent(now, e) {
		return fmt.Errorf("%w: %w: group %d: node %d at %s is silent", err, ErrUnavailable, x.Group,
			e.node, e.address)
	}
	return err
}

// isSilent reports whether a node has been asked for a sign of life for longer than that
// takes, and not because this process itself has been away.
func (c *Core) isSilent(now Instant, e *endpoint) bool {
	const enough = pingTimeout / 2
	return e.pingedAt != 0 && e.heard < e.pingedAt && now.Sub(e.pingedAt) >= enough &&
		now.Sub(c.alarm) <= enough
}

// leaderless says why no leader of a group is found, and what it takes.
func (c *Core) leaderless(g *group) error {
	return fmt.Errorf("no leader of group %d found (a majority of its nodes must run and reach each "+
		"other and one of them be reached, see lockd cluster status): %w", g.number, c.trouble())
}

// refusedLease returns the error of a lease that every node of which an address is known
// has refused, else nil: no other can come to take it, for all have the same bounds.
func (c *Core) refusedLease() error {
	var refused error
	for _, e := range c.endpoints {
		var bound *BoundError
		if !errors.As(e.err, &bound) {
			return nil
		}
		refused = bound
	}
	return refused
}

// troubleOf returns what last went wrong at each address of one node. It matches what
// that of all nodes does: see trouble.
func (c *Core) troubleOf(node uint16) error {
	var all []error
	refusing := true
	for _, e := range c.endpoints {
		if e.node == node && e.err != nil {
			all = append(all, fmt.Errorf("%s: %v", e.address, e.err))
			refusing = refusing && errors.Is(e.err, ErrRefused)
		}
	}
	if all == nil {
		return errors.New("no address of it is known")
	}
	if refusing {
		return &refusedByAll{errors.Join(all...).Error()}
	}
	return errors.Join(all...)
}

// trouble returns what is known of each endpoint that somebody has tried: what last went
// wrong there, or how far it has come. What one address says matches nothing: the end of
// a dial is not that of the caller's context, and another node may still answer. If all
// of them refuse it matches ErrRefused.
func (c *Core) trouble() error {
	var all []error
	refusing := true
	for _, e := range c.endpoints {
		switch {
		case e.state == connUp:
			all = append(all, fmt.Errorf("%s: node %d is up", e.address, e.node))
		case e.err != nil:
			all = append(all, fmt.Errorf("%s: %v", e.address, e.err))
		case e.state != connNone:
			all = append(all, fmt.Errorf("%s: no answer yet", e.address))
		}
		refusing = refusing && e.state != connUp && errors.Is(e.err, ErrRefused)
	}
	if all == nil {
		return errors.New("no address was tried yet")
	}
	if refusing {
		return &refusedByAll{errors.Join(all...).Error()}
	}
	return errors.Join(all...)
}

// refusedByAll is the trouble of addresses that all refuse. It matches ErrRefused.
type refusedByAll struct{ text string }

func (e *refusedByAll) Error() string        { return e.text }
func (e *refusedByAll) Is(target error) bool { return target == ErrRefused }
